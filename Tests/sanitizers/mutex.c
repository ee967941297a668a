// How Swift's Mutex is locked where it was taken is in the standard library, which is not instrumented and asks the kernel
// itself: ThreadSanitizer would take all that such a Mutex guards for a race. These functions stand before the library's own
// and tell it. Source: LinuxImpl.swift in stdlib/public/Synchronization/Mutex of github.com/swiftlang/swift.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self

typedef SWIFT void lock_function(uint32_t thread, SELF);
typedef SWIFT void unlock_function(SELF);

SWIFT void lock_slow(uint32_t thread, SELF) __asm__("$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");
SWIFT void unlock_slow(SELF) __asm__("$s15Synchronization12_MutexHandleV11_unlockSlowyyF");

SWIFT void lock_slow(uint32_t thread, SELF) {
    ((lock_function *)dlsym(RTLD_NEXT, "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"))(thread, self);
    __tsan_acquire(self);
}

SWIFT void unlock_slow(SELF) {
    __tsan_release(self);
    ((unlock_function *)dlsym(RTLD_NEXT, "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"))(self);
}
