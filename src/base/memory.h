// What the process asks of the heap as a whole.
#pragma once

namespace pgweir::base {

/// Gives memory that has been freed back to the system, where it can be. Takes a millisecond or so, in which other
/// threads may have to wait for memory.
void give_back_free_memory() noexcept;

}  // namespace pgweir::base
