#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kvferry::registry {

struct TlsFiles {
  std::string ca, cert, key;  // PEM; empty: none of our own
};

struct HttpAnswer {
  long status = 0;
  std::string body;
};

// Posts JSON, one request at a time, over a connection that is kept. One thread; interrupt() and
// resume() from any.
class HttpClient {
 public:
  // Throws: Error{resource}: no libcurl.
  HttpClient(TlsFiles tls, std::size_t max_answer_bytes);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Throws: Error{unreachable} (no answer in time, TLS refused, an answer too long),
  // Error{cancelled} once interrupted.
  HttpAnswer post(const std::string& url, const std::string& body,
                  const std::vector<std::string>& headers, std::chrono::milliseconds timeout);
  void interrupt() noexcept;
  void resume() noexcept { interrupted_ = false; }

 private:
  struct Handles;

  void prepare(const std::string& url, const std::string& body, std::chrono::milliseconds timeout);
  int perform();

  TlsFiles tls_;
  std::size_t max_answer_bytes_;
  std::unique_ptr<Handles> handles_;
  std::atomic<bool> interrupted_{false};
};

}  // namespace kvferry::registry
