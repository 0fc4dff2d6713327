# Writes OUT, which tells the program the commit that ROOT is at ("83d9d7f1c0aa", "-dirty" where files are changed); empty where
# ROOT is no git tree, as in a source archive.
execute_process(COMMAND git -C "${ROOT}" describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
if(failed)
  set(commit "")
endif()
set(text "#include \"bench/command_line.hpp\"\n\nstd::string kvferry::cli::bench::commit() { return \"${commit}\"; }\n")
set(old "")
if(EXISTS "${OUT}")
  file(READ "${OUT}" old)
endif()
if(NOT old STREQUAL text)
  file(WRITE "${OUT}" "${text}")
endif()
