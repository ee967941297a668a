// libyaml, the C parser of YAML. Imported by the target YAML alone.
#include <yaml.h>
