# Finds LibTorch: the target LibTorch::LibTorch. Needs neither LibTorch's own CMake package nor a CUDA toolkit or
# language, whatever LibTorch was built for. Headers and libraries always come from one tree.
#
# The first LibTorch of these is taken, and what it is and where it was found is printed:
#   1. LibTorch_ROOT or Torch_DIR, variables of CMake, or LibTorch_ROOT of the environment. It is an error if there is
#      none.
#   2. CMAKE_PREFIX_PATH, variable of CMake or of the environment.
#   3. LibTorch_HINTS: directories that the caller of this module prefers to those that follow.
#   4. The one that this build folder was configured with before.
#   5. The torch package of the activated Python or conda environment (VIRTUAL_ENV, CONDA_PREFIX).
#   6. The system's package, for example Debian's libtorch-dev.
#   7. The torch package of the python3 on the PATH.
# All of these may name the folder of LibTorch (an unpacked archive, or `torch` of a Python package), the folder
# `share/cmake` in it (what torch.utils.cmake_prefix_path is) or the prefix of an installation (/usr).
#
# Sets LibTorch_FOUND, LibTorch_VERSION, LibTorch_PREFIX, LibTorch_KIND ("installation", "archive" or "Python package"),
# LibTorch_DESCRIPTION, LibTorch_INCLUDE_DIRS and LibTorch_LIBRARY_DIR.

set(_libtorch_oldest 1.13)
set(_libtorch_newest 2.15)
set(_libtorch_range "muster supports LibTorch ${_libtorch_oldest} to ${_libtorch_newest}")

# The prefix that a directory of CMake packages belongs to; any other directory is one itself.
function(_libtorch_prefix_of path result)
  get_filename_component(path "${path}" ABSOLUTE)
  if(path MATCHES "^(.*)/(share|lib|lib64|lib/[^/]+)/cmake(/Torch)?$")
    set(path "${CMAKE_MATCH_1}")
  endif()
  set(${result} "${path}" PARENT_SCOPE)
endfunction()

# Sets _libtorch_include_dir and _libtorch_library_dir to those below a prefix; empty where there are none.
function(_libtorch_look_in prefix)
  set(include_dir "")
  set(library_dir "")
  foreach(dir include include/${CMAKE_LIBRARY_ARCHITECTURE})
    if(NOT include_dir AND EXISTS "${prefix}/${dir}/torch/csrc/api/include/torch/version.h")
      set(include_dir "${prefix}/${dir}")
    endif()
  endforeach()
  foreach(dir lib lib/${CMAKE_LIBRARY_ARCHITECTURE} lib64)
    set(file "${prefix}/${dir}/${CMAKE_SHARED_LIBRARY_PREFIX}")
    if(NOT library_dir AND EXISTS "${file}torch${CMAKE_SHARED_LIBRARY_SUFFIX}"
       AND EXISTS "${file}torch_cpu${CMAKE_SHARED_LIBRARY_SUFFIX}" AND EXISTS "${file}c10${CMAKE_SHARED_LIBRARY_SUFFIX}")
      set(library_dir "${prefix}/${dir}")
    endif()
  endforeach()
  set(_libtorch_include_dir "${include_dir}" PARENT_SCOPE)
  set(_libtorch_library_dir "${library_dir}" PARENT_SCOPE)
endfunction()

# Takes the first prefix of a list that has headers and libraries, where none has been taken yet.
macro(_libtorch_try source)
  foreach(_libtorch_path ${ARGN})
    if(NOT LibTorch_PREFIX AND NOT _libtorch_path STREQUAL "")
      _libtorch_prefix_of("${_libtorch_path}" _libtorch_prefix)
      _libtorch_look_in("${_libtorch_prefix}")
      if(_libtorch_include_dir AND _libtorch_library_dir)
        set(LibTorch_PREFIX "${_libtorch_prefix}")
        set(LibTorch_INCLUDE_DIRS "${_libtorch_include_dir}")
        set(LibTorch_LIBRARY_DIR "${_libtorch_library_dir}")
        set(_libtorch_source "${source}")
      endif()
    endif()
  endforeach()
endmacro()

# The folder of the torch package that an interpreter would import; empty where it has none. Does not import it.
function(_libtorch_of_python python result)
  set(${result} "" PARENT_SCOPE)
  if(NOT python OR NOT EXISTS "${python}")
    return()
  endif()
  execute_process(
    COMMAND "${python}" -c
            "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
    OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()

set(LibTorch_PREFIX "")
set(_libtorch_reason "")
set(_libtorch_explicit "")
foreach(_libtorch_variable LibTorch_ROOT Torch_DIR)
  if(NOT _libtorch_explicit AND ${_libtorch_variable})
    set(_libtorch_explicit "${${_libtorch_variable}}")
    set(_libtorch_source ${_libtorch_variable})
  endif()
endforeach()
if(NOT _libtorch_explicit AND DEFINED ENV{LibTorch_ROOT})
  set(_libtorch_explicit "$ENV{LibTorch_ROOT}")
  set(_libtorch_source "LibTorch_ROOT of the environment")
endif()

if(_libtorch_explicit)
  _libtorch_try("${_libtorch_source}" "${_libtorch_explicit}")
  if(NOT LibTorch_PREFIX)
    set(_libtorch_reason "${_libtorch_source} is ${_libtorch_explicit}, and there is no LibTorch: headers (include/torch) \
and shared libraries (lib/libtorch.so, libtorch_cpu.so, libc10.so) are needed below ${_libtorch_prefix}.")
  endif()
else()
  _libtorch_try("CMAKE_PREFIX_PATH" ${CMAKE_PREFIX_PATH})
  if(DEFINED ENV{CMAKE_PREFIX_PATH})
    string(REPLACE ":" ";" _libtorch_paths "$ENV{CMAKE_PREFIX_PATH}")
    _libtorch_try("CMAKE_PREFIX_PATH of the environment" ${_libtorch_paths})
  endif()
  _libtorch_try("the LibTorch that muster was built with" ${LibTorch_HINTS})
  _libtorch_try("this build folder's cache" ${LibTorch_PREFIX_BEFORE})
  foreach(_libtorch_variable VIRTUAL_ENV CONDA_PREFIX)
    if(NOT LibTorch_PREFIX AND DEFINED ENV{${_libtorch_variable}})
      _libtorch_of_python("$ENV{${_libtorch_variable}}/bin/python3" _libtorch_paths)
      _libtorch_try("the active ${_libtorch_variable}" "${_libtorch_paths}" "$ENV{${_libtorch_variable}}")
    endif()
  endforeach()
  _libtorch_try("the system" ${CMAKE_SYSTEM_PREFIX_PATH})
  if(NOT LibTorch_PREFIX)
    find_program(LibTorch_PYTHON NAMES python3 NO_CMAKE_PATH NO_CMAKE_ENVIRONMENT_PATH)
    mark_as_advanced(LibTorch_PYTHON)
    _libtorch_of_python("${LibTorch_PYTHON}" _libtorch_paths)
    _libtorch_try("the python3 on the PATH" "${_libtorch_paths}")
  endif()
  if(NOT LibTorch_PREFIX)
    set(_libtorch_reason "No LibTorch found. Install one (libtorch-dev on Debian, `pip install torch` in an activated \
environment, or an unpacked archive), or name one with -DLibTorch_ROOT=<folder>. ${_libtorch_range}.")
  endif()
endif()

set(LibTorch_VERSION "")
if(LibTorch_PREFIX)
  foreach(_libtorch_part MAJOR MINOR PATCH)
    # In newer versions the first of these includes the second.
    foreach(_libtorch_header csrc/api/include/torch/version.h headeronly/version.h)
      set(_libtorch_header "${LibTorch_INCLUDE_DIRS}/torch/${_libtorch_header}")
      set(_libtorch_regex "^#define TORCH_VERSION_${_libtorch_part} +([0-9]+)")
      if(EXISTS "${_libtorch_header}")
        file(STRINGS "${_libtorch_header}" _libtorch_line REGEX "${_libtorch_regex}" LIMIT_COUNT 1)
        if(_libtorch_line MATCHES "${_libtorch_regex}")
          set(_libtorch_${_libtorch_part} "${CMAKE_MATCH_1}")
          break()
        endif()
      endif()
    endforeach()
  endforeach()
  set(LibTorch_VERSION "${_libtorch_MAJOR}.${_libtorch_MINOR}.${_libtorch_PATCH}")

  if(EXISTS "${LibTorch_PREFIX}/__init__.py")
    set(LibTorch_KIND "Python package")
  elseif(LibTorch_PREFIX IN_LIST CMAKE_SYSTEM_PREFIX_PATH)
    set(LibTorch_KIND "installation")
  else()
    set(LibTorch_KIND "archive")
  endif()
  set(LibTorch_DESCRIPTION "LibTorch ${LibTorch_VERSION} (${LibTorch_KIND} ${LibTorch_PREFIX})")
  set(_libtorch_taken "${LibTorch_DESCRIPTION}, taken from ${_libtorch_source}")

  # Names that take a std::string say which of the two C++ ABIs of GCC's library it is.
  set(_libtorch_c10 "${LibTorch_LIBRARY_DIR}/${CMAKE_SHARED_LIBRARY_PREFIX}c10${CMAKE_SHARED_LIBRARY_SUFFIX}")
  file(STRINGS "${_libtorch_c10}" _libtorch_old_abi LIMIT_COUNT 1 REGEX "^_ZNK?3c10.*RKSs")
  if(LibTorch_VERSION VERSION_LESS _libtorch_oldest)
    set(_libtorch_reason "${_libtorch_taken}, is too old. ${_libtorch_range}. Name another one with \
-DLibTorch_ROOT=<folder>.")
  elseif(_libtorch_old_abi)
    set(_libtorch_reason "${_libtorch_taken}, has the old C++ ABI (_GLIBCXX_USE_CXX11_ABI=0), which nothing else here \
has. Wheels of torch 2.7 and later, archives named libtorch-cxx11-abi and the packages of distributions have the new \
one. Name one with -DLibTorch_ROOT=<folder>.")
  endif()
endif()

include(FindPackageHandleStandardArgs)
if(_libtorch_reason)
  set(LibTorch_NOT_FOUND_REASON "${_libtorch_reason}")
  set(LibTorch_PREFIX "")
endif()
find_package_handle_standard_args(LibTorch REQUIRED_VARS LibTorch_PREFIX VERSION_VAR LibTorch_VERSION
                                  REASON_FAILURE_MESSAGE "${_libtorch_reason}")
if(NOT LibTorch_FOUND)
  return()
endif()
if(NOT "${LibTorch_PREFIX_BEFORE}" STREQUAL LibTorch_PREFIX)
  message(STATUS "Using ${_libtorch_taken}")
endif()
if("${_libtorch_MAJOR}.${_libtorch_MINOR}" VERSION_GREATER _libtorch_newest)
  message(WARNING "${_libtorch_taken}, is newer than any that muster was tested with. ${_libtorch_range}.")
endif()
set(LibTorch_PREFIX_BEFORE "${LibTorch_PREFIX}" CACHE INTERNAL "The LibTorch that this build folder was configured with")

# A wheel has headers of other libraries beside LibTorch's own, which are not those that everything else here links to,
# fmt among them. LibTorch's own are therefore taken through links; they include none of the others.
if(NOT LibTorch_INCLUDE_DIRS IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
  set(_libtorch_links "${CMAKE_BINARY_DIR}/libtorch-include")
  file(MAKE_DIRECTORY "${_libtorch_links}")
  foreach(_libtorch_folder torch ATen c10 caffe2)
    file(REMOVE "${_libtorch_links}/${_libtorch_folder}")
    if(EXISTS "${LibTorch_INCLUDE_DIRS}/${_libtorch_folder}")
      file(CREATE_LINK "${LibTorch_INCLUDE_DIRS}/${_libtorch_folder}" "${_libtorch_links}/${_libtorch_folder}" SYMBOLIC)
    endif()
  endforeach()
  set(LibTorch_INCLUDE_DIRS "${_libtorch_links}")
endif()
list(APPEND LibTorch_INCLUDE_DIRS "${LibTorch_INCLUDE_DIRS}/torch/csrc/api/include")

if(NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  set_target_properties(LibTorch::LibTorch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${LibTorch_INCLUDE_DIRS}"
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${LibTorch_INCLUDE_DIRS}"
    INTERFACE_COMPILE_FEATURES cxx_std_17)

  # What register their operators when they are loaded, and define no name that a program needs: the linker must not
  # drop them.
  set(_libtorch_loaded "")
  foreach(_libtorch_name torch torch_cuda torch_hip torch_xpu)
    set(_libtorch_file
        "${LibTorch_LIBRARY_DIR}/${CMAKE_SHARED_LIBRARY_PREFIX}${_libtorch_name}${CMAKE_SHARED_LIBRARY_SUFFIX}")
    if(EXISTS "${_libtorch_file}")
      string(APPEND _libtorch_loaded "${_libtorch_file},")
    endif()
  endforeach()
  set(_libtorch_link "-Wl,--push-state,--no-as-needed,${_libtorch_loaded}--pop-state")
  foreach(_libtorch_name torch_cpu c10 c10_cuda c10_hip c10_xpu)
    set(_libtorch_file
        "${LibTorch_LIBRARY_DIR}/${CMAKE_SHARED_LIBRARY_PREFIX}${_libtorch_name}${CMAKE_SHARED_LIBRARY_SUFFIX}")
    if(EXISTS "${_libtorch_file}")
      list(APPEND _libtorch_link "${_libtorch_file}")
    endif()
  endforeach()
  # Headers of a LibTorch that logs with glog use it.
  foreach(_libtorch_file c10/macros/cmake_macros.h torch/headeronly/macros/cmake_macros.h)
    foreach(_libtorch_folder ${LibTorch_INCLUDE_DIRS})
      if(EXISTS "${_libtorch_folder}/${_libtorch_file}")
        file(STRINGS "${_libtorch_folder}/${_libtorch_file}" _libtorch_uses_glog REGEX "^#define C10_USE_GLOG")
        if(_libtorch_uses_glog)
          list(APPEND _libtorch_link glog)
        endif()
      endif()
    endforeach()
  endforeach()
  set_property(TARGET LibTorch::LibTorch PROPERTY INTERFACE_LINK_LIBRARIES "${_libtorch_link}")

  # The libraries of CUDA lie in packages beside that of torch. Its libraries find them when they are loaded; the linker
  # must be told.
  file(GLOB _libtorch_folders "${LibTorch_PREFIX}/../nvidia/*/lib")
  foreach(_libtorch_folder ${_libtorch_folders})
    get_filename_component(_libtorch_folder "${_libtorch_folder}" ABSOLUTE)
    set_property(TARGET LibTorch::LibTorch APPEND PROPERTY INTERFACE_LINK_OPTIONS "LINKER:-rpath-link,${_libtorch_folder}")
  endforeach()

  # Which of its parts this LibTorch has, as its headers ask (USE_C10D_GLOO and the like).
  file(GLOB _libtorch_files "${LibTorch_PREFIX}/share/cmake/Caffe2/Caffe2Targets.cmake"
       "${LibTorch_LIBRARY_DIR}/cmake/Caffe2/Caffe2Targets.cmake")
  foreach(_libtorch_file ${_libtorch_files})
    file(STRINGS "${_libtorch_file}" _libtorch_lines REGEX "INTERFACE_COMPILE_DEFINITIONS \"[A-Z0-9_;]+\"")
    string(REGEX MATCHALL "USE_[A-Z0-9_]+" _libtorch_definitions "${_libtorch_lines}")
    list(REMOVE_DUPLICATES _libtorch_definitions)
    set_property(TARGET LibTorch::LibTorch PROPERTY INTERFACE_COMPILE_DEFINITIONS "${_libtorch_definitions}")
  endforeach()
endif()
