// libxcrypt, the system's password hashes; of them bcrypt is used. Imported by the target HTTP alone.
#include <crypt.h>
