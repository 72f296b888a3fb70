// uWebSockets, in C++. argv: PORT.
#include <App.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

struct Client {};

int main(int, char **argv) {
    // A client that is gone must not end the server: not every write of uSockets says MSG_NOSIGNAL.
    std::signal(SIGPIPE, SIG_IGN);
    auto echo = [](auto *client, std::string_view message, uWS::OpCode opcode) {
        client->send(message, opcode);
    };
    auto listening = [](auto *socket) {
        if (!socket) {
            std::exit(1);
        }
        std::puts("ready");
        std::fflush(stdout);
    };
    uWS::App()
        .ws<Client>("/*", {.compression = uWS::DISABLED,
                           .maxPayloadLength = 64 << 20,
                           .idleTimeout = 120,
                           .maxBackpressure = 256 << 20,
                           .message = echo})
        .listen("127.0.0.1", std::atoi(argv[1]), listening)
        .run();
}
