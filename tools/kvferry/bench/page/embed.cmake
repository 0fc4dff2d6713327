# cmake -DOUT=page_parts.cpp -DPAGE=DIR [-DCHART_JS=chart.min.js] -P embed.cmake
# Writes the parts of the page of `kvferry bench --html` as C++, so that the program needs no file beside it. Without
# CHART_JS its text is empty: the program then refuses --html and says why.

# An element of the page must not end inside of the text that it holds.
function(check_script name text)
  string(TOLOWER "${text}" lower)
  foreach(forbidden "</script" "<!--" ")kvferry\"")
    string(FIND "${lower}" "${forbidden}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "kvferry: ${name} holds ${forbidden}, which a page cannot embed")
    endif()
  endforeach()
endfunction()

set(code "// Generated from ${PAGE}.\n#include \"bench/page_parts.hpp\"\n\nnamespace kvferry::cli::bench {\n")
function(add_part name text)
  set(code "${code}\nstd::string_view ${name}() noexcept {\n  return R\"kvferry(${text})kvferry\";\n}\n" PARENT_SCOPE)
endfunction()

file(READ "${PAGE}/page.html" html)
file(READ "${PAGE}/page.css" css)
set(script "\"use strict\";\n")
foreach(part words plots draw page)
  file(READ "${PAGE}/${part}.js" text)
  string(APPEND script "${text}")
endforeach()
check_script("the page's script" "${script}")
set(chart "")
if(CHART_JS)
  file(READ "${CHART_JS}" chart)
  check_script("${CHART_JS}" "${chart}")
endif()

add_part(page_html "${html}")
add_part(page_css "${css}")
add_part(page_js "${script}")
add_part(chart_js "${chart}")
file(WRITE "${OUT}" "${code}\n}  // namespace kvferry::cli::bench\n")
