#pragma once

#include "registry/http.hpp"
#include "registry/url.hpp"

namespace kvferry::registry {

// Looks at the files before anybody is asked: libcurl would say what is wrong only once it has
// connected. Throws: Error{invalid_argument} naming the file, or what is missing beside it.
void check_tls_files(const TlsFiles& files, const Url& url);

}  // namespace kvferry::registry
