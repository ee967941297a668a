// hiredis, the C client of Redis. Imported by the target Redis alone.
#include <hiredis/hiredis.h>
