# Finds what muster is built on, each behind one target.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

find_package(MPI REQUIRED COMPONENTS C CXX)
include(musterMpi)
muster_read_mpi(MUSTER_MPI)
message(STATUS "MPI: ${MUSTER_MPI}")
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(spdlog REQUIRED)
if(POLICY CMP0167)
  cmake_policy(SET CMP0167 NEW)  # Boost's own package, as newer versions of CMake have no module for it
endif()
find_package(Boost REQUIRED COMPONENTS program_options)

set(HDF5_PREFER_PARALLEL ON)
find_package(HDF5 REQUIRED COMPONENTS C)
if(NOT HDF5_IS_PARALLEL)
  message(FATAL_ERROR "muster needs HDF5 built with MPI (Debian: libhdf5-openmpi-dev); found a serial one")
endif()
add_library(muster_hdf5 INTERFACE)
target_include_directories(muster_hdf5 SYSTEM INTERFACE $<BUILD_INTERFACE:${HDF5_C_INCLUDE_DIRS}>)
target_link_libraries(muster_hdf5 INTERFACE "$<BUILD_INTERFACE:${HDF5_C_LIBRARIES}>" MPI::MPI_C)

# The library that picks the widest vectors of the processor at run time, where there is one; else xxHash header-only,
# for the vectors that the compiler may take for granted.
find_path(MUSTER_XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
find_library(MUSTER_XXHASH_LIBRARY xxhash)
if(MUSTER_XXHASH_LIBRARY AND EXISTS ${MUSTER_XXHASH_INCLUDE_DIR}/xxh_x86dispatch.h)
  include(CheckLibraryExists)
  check_library_exists(${MUSTER_XXHASH_LIBRARY} XXH3_64bits_update_dispatch "" MUSTER_XXHASH_DISPATCHES)
endif()
add_library(muster_xxhash INTERFACE)
target_include_directories(muster_xxhash SYSTEM INTERFACE $<BUILD_INTERFACE:${MUSTER_XXHASH_INCLUDE_DIR}>)
if(MUSTER_XXHASH_DISPATCHES)
  target_compile_definitions(muster_xxhash INTERFACE MUSTER_XXHASH_DISPATCHES)
  target_link_libraries(muster_xxhash INTERFACE $<BUILD_INTERFACE:${MUSTER_XXHASH_LIBRARY}> $<INSTALL_INTERFACE:xxhash>)
else()
  target_compile_definitions(muster_xxhash INTERFACE XXH_INLINE_ALL)
endif()

if(MUSTER_TORCH)
  find_package(LibTorch REQUIRED)
  add_library(muster_libtorch INTERFACE)
  target_link_libraries(muster_libtorch INTERFACE $<BUILD_INTERFACE:LibTorch::LibTorch>)
endif()
