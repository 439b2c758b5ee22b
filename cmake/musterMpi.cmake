# muster_read_mpi(VARIABLE): the MPI of MPI::MPI_CXX and its major version, as its header names them: "Open MPI 4", "MPICH 4".
# Empty where the header says neither. muster and its users compile against the same, since handles differ between them.
function(muster_read_mpi variable)
  set(folder ${CMAKE_BINARY_DIR}/CMakeFiles/musterMpi)
  file(WRITE ${folder}/mpi.cpp [[
#include <mpi.h>
#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x
#if defined OMPI_MAJOR_VERSION
extern const char library[] = "muster_mpi=Open MPI " TEXT(OMPI_MAJOR_VERSION) ".";
#elif defined I_MPI_VERSION
extern const char library[] = "muster_mpi=Intel MPI " I_MPI_VERSION ".";
#elif defined MPICH_VERSION
extern const char library[] = "muster_mpi=MPICH " MPICH_VERSION ".";
#else
extern const char library[] = "muster_mpi=.";
#endif
int main(int count, char**) { return library[count]; }
]])
  try_compile(compiles ${folder}/build ${folder}/mpi.cpp LINK_LIBRARIES MPI::MPI_CXX COPY_FILE ${folder}/program)
  set(library "")
  if(compiles)
    file(STRINGS ${folder}/program found REGEX "muster_mpi=")
    string(REGEX REPLACE ".*muster_mpi=([^.]*)[.].*" "\\1" library "${found}")
  endif()
  set(${variable} "${library}" PARENT_SCOPE)
endfunction()
