# Finds what muster is built on, each behind one target.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

find_package(MPI REQUIRED COMPONENTS C CXX)
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(spdlog REQUIRED)
find_package(Boost REQUIRED COMPONENTS program_options)

set(HDF5_PREFER_PARALLEL ON)
find_package(HDF5 REQUIRED COMPONENTS C)
if(NOT HDF5_IS_PARALLEL)
  message(FATAL_ERROR "muster needs HDF5 built with MPI (Debian: libhdf5-openmpi-dev); found a serial one")
endif()
add_library(muster_hdf5 INTERFACE)
target_include_directories(muster_hdf5 SYSTEM INTERFACE $<BUILD_INTERFACE:${HDF5_C_INCLUDE_DIRS}>)
target_link_libraries(muster_hdf5 INTERFACE "$<BUILD_INTERFACE:${HDF5_C_LIBRARIES}>" MPI::MPI_C)

# xxHash is used header-only: inlined it hashes short buffers without a call.
find_path(MUSTER_XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
add_library(muster_xxhash INTERFACE)
target_include_directories(muster_xxhash SYSTEM INTERFACE $<BUILD_INTERFACE:${MUSTER_XXHASH_INCLUDE_DIR}>)
target_compile_definitions(muster_xxhash INTERFACE XXH_INLINE_ALL)

if(MUSTER_TORCH)
  find_package(Torch REQUIRED)
  add_library(muster_libtorch INTERFACE)
  target_include_directories(muster_libtorch SYSTEM INTERFACE "$<BUILD_INTERFACE:${TORCH_INCLUDE_DIRS}>")
  target_link_libraries(muster_libtorch INTERFACE "$<BUILD_INTERFACE:${TORCH_LIBRARIES}>")
endif()
