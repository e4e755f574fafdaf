"""A small `curl` with the options that the tutorial uses, for machines without it.

It speaks HTTP/1.0 over a socket, since the tutorial starts it a dozen times.
"""

import socket
import sys


def main(words: list[str]) -> int:
    """Send one request and write the response body; return 7 if the port is closed, as `curl` does."""
    method, headers, body, out, url = "GET", "", b"", "", ""
    while words:
        match words.pop(0):
            case "-s":
                pass
            case "-X":
                method = words.pop(0)
            case "-H":
                headers += f"{words.pop(0)}\r\n"
            case "-d":
                body = words.pop(0).encode()
            case "-o":
                out = words.pop(0)
            case word:
                assert not word.startswith("-"), word
                url = word
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    head = (
        f"{method} /{path} HTTP/1.0\r\nHost: {host}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    try:
        with socket.create_connection((name, int(port)), 60) as sent:
            sent.sendall(head.encode() + body)
            with sent.makefile("rb") as received:
                answer = received.read().partition(b"\r\n\r\n")[2]
    except ConnectionRefusedError:
        return 7
    if out:
        with open(out, "wb") as file:  # noqa: PTH123 - a module less, for what starts so often
            file.write(answer)
    else:
        sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
