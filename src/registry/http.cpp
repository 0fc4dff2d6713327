#include "registry/http.hpp"

#include <fmt/format.h>

#include <array>

#include "kvferry/error.hpp"
#include "registry/curl_library.hpp"
#include "wire/text.hpp"

namespace kvferry::registry {
namespace {

// What has come of an answer. One byte too many ends the request.
struct Body {
  std::string text;
  std::size_t max_bytes = 0;
  bool too_long = false;
};

std::size_t take(char* data, std::size_t, std::size_t count, void* user) {
  auto& body = *static_cast<Body*>(user);
  if (body.text.size() + count > body.max_bytes) {
    body.too_long = true;
    return 0;
  }
  body.text.append(data, count);
  return count;
}

class HeaderList {
 public:
  explicit HeaderList(const std::vector<std::string>& lines) {
    for (const std::string& line : lines) {
      curl_slist* const longer = curl_library().slist_append(list_, line.c_str());
      if (longer == nullptr) throw std::bad_alloc();
      list_ = longer;
    }
  }
  ~HeaderList() { curl_library().slist_free_all(list_); }
  HeaderList(const HeaderList&) = delete;
  HeaderList& operator=(const HeaderList&) = delete;
  curl_slist* get() const noexcept { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

}  // namespace

struct HttpClient::Handles {
  CURL* easy = nullptr;
  CURLM* multi = nullptr;
  std::array<char, CURL_ERROR_SIZE> why{};
  Body body;
  ~Handles() {
    if (easy != nullptr) curl_library().easy_cleanup(easy);
    if (multi != nullptr) curl_library().multi_cleanup(multi);
  }
};

HttpClient::HttpClient(TlsFiles tls, std::size_t max_answer_bytes)
    : tls_(std::move(tls)), max_answer_bytes_(max_answer_bytes), handles_(new Handles) {
  const CurlLibrary& curl = curl_library();
  handles_->easy = curl.easy_init();
  handles_->multi = curl.multi_init();
  if (handles_->easy == nullptr || handles_->multi == nullptr)
    throw Error(ErrorCode::resource, "libcurl gives no handle: too little memory?");
}

HttpClient::~HttpClient() = default;

void HttpClient::interrupt() noexcept {
  interrupted_ = true;
  curl_library().multi_wakeup(handles_->multi);
}

void HttpClient::prepare(const std::string& url, const std::string& body,
                         std::chrono::milliseconds timeout) {
  const auto set = [this](CURLoption option, auto value) {
    curl_library().easy_setopt(handles_->easy, option, value);
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_POSTFIELDS, body.data());
  set(CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
  set(CURLOPT_WRITEFUNCTION, &take);
  set(CURLOPT_WRITEDATA, &handles_->body);
  set(CURLOPT_ERRORBUFFER, handles_->why.data());
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TCP_NODELAY, 1L);
  // The environment has no say in where we connect to.
  set(CURLOPT_PROXY, "");
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!tls_.ca.empty()) set(CURLOPT_CAINFO, tls_.ca.c_str());
  if (!tls_.cert.empty()) set(CURLOPT_SSLCERT, tls_.cert.c_str());
  if (!tls_.key.empty()) set(CURLOPT_SSLKEY, tls_.key.c_str());
}

// The CURLcode; -1: interrupted.
int HttpClient::perform() {
  const CurlLibrary& curl = curl_library();
  int running = 1;
  while (!interrupted_) {
    if (curl.multi_perform(handles_->multi, &running) != CURLM_OK) return CURLE_FAILED_INIT;
    if (running == 0) {
      int left = 0;
      const CURLMsg* const message = curl.multi_info_read(handles_->multi, &left);
      return message != nullptr ? static_cast<int>(message->data.result)
                                : static_cast<int>(CURLE_FAILED_INIT);
    }
    // libcurl shortens the wait to its own timers; interrupt() ends it.
    curl.multi_poll(handles_->multi, nullptr, 0, 1000, nullptr);
  }
  return -1;
}

HttpAnswer HttpClient::post(const std::string& url, const std::string& body,
                            const std::vector<std::string>& headers,
                            std::chrono::milliseconds timeout) {
  const CurlLibrary& curl = curl_library();
  const HeaderList list(headers);
  handles_->body = Body{{}, max_answer_bytes_, false};
  handles_->why[0] = '\0';
  prepare(url, body, timeout);
  curl.easy_setopt(handles_->easy, CURLOPT_HTTPHEADER, list.get());
  if (curl.multi_add_handle(handles_->multi, handles_->easy) != CURLM_OK)
    throw Error(ErrorCode::resource, "libcurl does not take a request: too little memory?");
  const int result = perform();
  curl.multi_remove_handle(handles_->multi, handles_->easy);
  curl.easy_setopt(handles_->easy, CURLOPT_HTTPHEADER, static_cast<curl_slist*>(nullptr));
  if (result == -1) throw Error(ErrorCode::cancelled, "the request to the registry was given up");
  if (handles_->body.too_long)
    throw Error(ErrorCode::unreachable,
                fmt::format("its answer is longer than {} bytes", max_answer_bytes_));
  if (result != CURLE_OK) {
    const char* const why = handles_->why[0] != '\0'
                                ? handles_->why.data()
                                : curl.easy_strerror(static_cast<CURLcode>(result));
    throw Error(ErrorCode::unreachable, wire::printable(why, 300));
  }
  HttpAnswer answer;
  curl.easy_getinfo(handles_->easy, CURLINFO_RESPONSE_CODE, &answer.status);
  answer.body = std::move(handles_->body.text);
  return answer;
}

}  // namespace kvferry::registry
