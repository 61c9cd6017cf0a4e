# SPDX-License-Identifier: Apache-2.0
# The three kinds of target the project has. One library a directory; unit tests
# stand beside the code they test; each test binary is one ctest entry.
include(GNUInstallDirs)

# cygnet_library(NAME SOURCES a.cpp … DEPS other …): static library cygnet::NAME.
function(cygnet_library NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;SYSTEM_DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(cygnet_${NAME} STATIC ${ARG_SOURCES})
    target_link_libraries(cygnet_${NAME} PUBLIC cygnet_flags ${ARG_DEPS} PRIVATE ${ARG_SYSTEM_DEPS})
  else()
    add_library(cygnet_${NAME} INTERFACE)
    target_link_libraries(cygnet_${NAME} INTERFACE cygnet_flags ${ARG_DEPS} ${ARG_SYSTEM_DEPS})
  endif()
  add_library(cygnet::${NAME} ALIAS cygnet_${NAME})
endfunction()

# cygnet_test(NAME SOURCES … DEPS … [LABELS …] [TIMEOUT s]): GoogleTest binary, one ctest entry.
function(cygnet_test NAME)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE cygnet_flags ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${NAME} COMMAND ${NAME} "--gtest_output=xml:${CMAKE_BINARY_DIR}/test-results/${NAME}.xml"
           WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${NAME} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()

# cygnet_program(NAME SOURCES … DEPS …): an installed executable.
function(cygnet_program NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE cygnet_flags ${ARG_DEPS})
  install(TARGETS ${NAME} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()
