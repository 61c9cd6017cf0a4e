# SPDX-License-Identifier: Apache-2.0
# The four kinds of target the project has. One library a directory; unit tests
# stand beside the code they test; each test binary is one ctest entry.
include(GNUInstallDirs)

# TOGETHER, in all four: where CYGNET_UNITY is on, compile up to eight of its sources at once. What they
# keep in unnamed namespaces must then differ.
#
# CMake's own unity builds name the sources by absolute paths, and no compiler cache would find anything of
# another checkout's; these name them from the top.
function(cygnet_join SOURCES_VARIABLE NAME)
  if(NOT CYGNET_UNITY)
    return()
  endif()
  set(joined "")
  set(part 0)
  set(text "")
  set(in_part 0)
  foreach(source IN LISTS ${SOURCES_VARIABLE})
    file(RELATIVE_PATH from_top "${CMAKE_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}/${source}")
    string(APPEND text "#include \"${from_top}\"\n")
    math(EXPR in_part "${in_part} + 1")
    if(in_part EQUAL 8)
      cygnet_write_joined(joined "${NAME}" ${part} "${text}")
      math(EXPR part "${part} + 1")
      set(text "")
      set(in_part 0)
    endif()
  endforeach()
  if(in_part GREATER 0)
    cygnet_write_joined(joined "${NAME}" ${part} "${text}")
  endif()
  set(${SOURCES_VARIABLE} "${joined}" PARENT_SCOPE)
endfunction()

function(cygnet_write_joined LIST_VARIABLE NAME PART TEXT)
  set(file "${CMAKE_CURRENT_BINARY_DIR}/${NAME}_together_${PART}.cpp")
  file(CONFIGURE OUTPUT "${file}" CONTENT "// SPDX-License-Identifier: Apache-2.0\n${TEXT}" @ONLY)
  set_source_files_properties("${file}" PROPERTIES INCLUDE_DIRECTORIES "${CMAKE_SOURCE_DIR}")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Sources that another one includes are taken for headers: what they keep to themselves seems to leak.
    set_source_files_properties("${file}" PROPERTIES COMPILE_OPTIONS -Wno-subobject-linkage)
  endif()
  set(${LIST_VARIABLE} "${${LIST_VARIABLE}};${file}" PARENT_SCOPE)
endfunction()

# Where CYGNET_UNITY is on, the library's headers (and the test framework's) are read once, not once a source.
# What a source includes is then not what it needs: the builds without find that out.
function(cygnet_precompile TARGET KIND)
  if(NOT CYGNET_UNITY OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    return()
  endif()
  set(headers cygnet_headers_${KIND})
  if(NOT TARGET ${headers})
    file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/${headers}.cpp" CONTENT "// SPDX-License-Identifier: Apache-2.0\n" @ONLY)
    add_library(${headers} OBJECT "${CMAKE_BINARY_DIR}/${headers}.cpp")
    target_link_libraries(${headers} PRIVATE cygnet_flags)
    target_precompile_headers(${headers} PRIVATE
      <algorithm> <array> <atomic> <charconv> <chrono> <cstddef> <cstdint> <cstdio> <cstring> <deque> <filesystem>
      <fstream> <functional> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string> <string_view>
      <thread> <unordered_map> <utility> <variant> <vector> <tl/expected.hpp>)
    if(KIND STREQUAL "test")
      target_compile_options(${headers} PRIVATE -O1)  # as in cygnet_test_code
      target_link_libraries(${headers} PRIVATE GTest::gmock)
      target_precompile_headers(${headers} PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
    endif()
  endif()
  target_precompile_headers(${TARGET} REUSE_FROM ${headers})
endfunction()

# cygnet_library(NAME [TOGETHER] SOURCES a.cpp … DEPS other …): static library cygnet::NAME.
function(cygnet_library NAME)
  cmake_parse_arguments(ARG "TOGETHER" "" "SOURCES;DEPS;SYSTEM_DEPS" ${ARGN})
  if(ARG_TOGETHER)
    cygnet_join(ARG_SOURCES ${NAME})
  endif()
  if(ARG_SOURCES)
    add_library(cygnet_${NAME} STATIC ${ARG_SOURCES})
    target_link_libraries(cygnet_${NAME} PUBLIC cygnet_flags ${ARG_DEPS} PRIVATE ${ARG_SYSTEM_DEPS})
    cygnet_precompile(cygnet_${NAME} library)
  else()
    add_library(cygnet_${NAME} INTERFACE)
    target_link_libraries(cygnet_${NAME} INTERFACE cygnet_flags ${ARG_DEPS} ${ARG_SYSTEM_DEPS})
  endif()
  add_library(cygnet::${NAME} ALIAS cygnet_${NAME})
endfunction()

# What several tests share: no unit of the product.
# cygnet_test_kit(NAME [TOGETHER] SOURCES … DEPS …): static library cygnet::NAME.
function(cygnet_test_kit NAME)
  cmake_parse_arguments(ARG "TOGETHER" "" "SOURCES;DEPS" ${ARGN})
  if(ARG_TOGETHER)
    cygnet_join(ARG_SOURCES ${NAME})
  endif()
  add_library(cygnet_${NAME} STATIC ${ARG_SOURCES})
  target_link_libraries(cygnet_${NAME} PUBLIC cygnet_flags ${ARG_DEPS} GTest::gtest GTest::gmock)
  cygnet_test_code(cygnet_${NAME})
  add_library(cygnet::${NAME} ALIAS cygnet_${NAME})
endfunction()

# Code of tests runs once: where builds are to be quick it is not optimised as far as what it tests.
function(cygnet_test_code TARGET)
  if(CYGNET_UNITY)
    target_compile_options(${TARGET} PRIVATE -O1)
  endif()
  cygnet_precompile(${TARGET} test)
endfunction()

# cygnet_test(NAME [TOGETHER] SOURCES … DEPS … [LABELS …] [TIMEOUT s]): GoogleTest binary, one ctest entry.
function(cygnet_test NAME)
  cmake_parse_arguments(ARG "TOGETHER" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(ARG_TOGETHER)
    cygnet_join(ARG_SOURCES ${NAME})
  endif()
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE cygnet_flags ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  cygnet_test_code(${NAME})
  add_test(NAME ${NAME} COMMAND ${NAME} "--gtest_output=xml:${CMAKE_BINARY_DIR}/test-results/${NAME}.xml"
           WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${NAME} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()

# cygnet_program(NAME [TOGETHER] SOURCES … DEPS …): an installed executable.
function(cygnet_program NAME)
  cmake_parse_arguments(ARG "TOGETHER" "" "SOURCES;DEPS" ${ARGN})
  if(ARG_TOGETHER)
    cygnet_join(ARG_SOURCES ${NAME})
  endif()
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE cygnet_flags ${ARG_DEPS})
  cygnet_precompile(${NAME} library)
  install(TARGETS ${NAME} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()
