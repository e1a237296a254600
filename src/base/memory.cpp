// The heap's own functions; see memory.h.
#include "base/memory.h"

#include <malloc.h>

namespace pgweir::base {

void give_back_free_memory() noexcept {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

}  // namespace pgweir::base
