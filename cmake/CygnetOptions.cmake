# SPDX-License-Identifier: Apache-2.0
# Language level, warnings, sanitizers and the compiler cache: what every target shares.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")

option(CYGNET_WERROR "Treat warnings as errors" ON)
option(CYGNET_FUZZ "Build the libFuzzer targets (clang only)" OFF)
# Writes SA keys to a file so that an analyser can open a capture. Insecure by
# purpose: never on in a package; the binaries built with it say so when they start.
option(CYGNET_INSECURE_KEY_EXPORT "Agent can export traffic keys for captures (insecure, tests only)" OFF)
# Most of a compiler run goes into reading the same headers. The gate's builds compile several sources in
# one, where a target says TOGETHER, and precompile what most include (CygnetTargets); a daily build does
# neither, and finds what is not included.
option(CYGNET_UNITY "Compile several sources at once, with precompiled headers" OFF)
set(CYGNET_SANITIZE "" CACHE STRING "Sanitizers, as given to -fsanitize=")

find_program(CYGNET_CCACHE ccache)
if(CYGNET_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CYGNET_CCACHE}")
endif()

if(CYGNET_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-fpch-preprocess)  # for ccache, which reads what the preprocessor puts out
endif()

add_library(cygnet_flags INTERFACE)
target_compile_options(cygnet_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow
  -Wnon-virtual-dtor -Wold-style-cast -Wimplicit-fallthrough -Wswitch-enum)
if(CYGNET_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 has false alarms about std::string (GCC bugs 105329, 105651). It keeps quiet about system headers,
  # but not when they were precompiled.
  target_compile_options(cygnet_flags INTERFACE -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow
                         -Wno-stringop-overread)
endif()
if(CYGNET_WERROR)
  target_compile_options(cygnet_flags INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(cygnet_flags INTERFACE -Wthread-safety)
endif()
if(CYGNET_SANITIZE)
  add_compile_options(-fsanitize=${CYGNET_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CYGNET_SANITIZE})
  if(CYGNET_SANITIZE MATCHES "thread")
    # ThreadSanitizer knows no fences and would miss what they order. Asio's own queues are ordered
    # by mutexes, which it knows.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
  if(CYGNET_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()
target_include_directories(cygnet_flags INTERFACE "${CMAKE_SOURCE_DIR}/src")

find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(GTest REQUIRED)
find_package(tl-expected REQUIRED)
find_package(fmt REQUIRED)
