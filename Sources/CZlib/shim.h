// zlib, the C compressor. Imported by the target Compression alone.
#include <zlib.h>

// deflateInit2 is a macro.
static inline int shim_deflate_gzip(z_stream *stream, int level) {
    // 15 bits of window, and 16 to say that gzip's header and trailer are wanted.
    return deflateInit2(stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}
