"""What `curl` does with the few options that the tutorial uses: not every machine has it."""

import http.client
import sys
from urllib.parse import urlsplit


def main(words: list[str]) -> int:
    """Send one request and write the body of its answer; 7, as `curl` has it, where nobody listens."""
    method, headers, body, out, url = "GET", {}, None, "", ""
    while words:
        match words.pop(0):
            case "-s":
                pass
            case "-X":
                method = words.pop(0)
            case "-H":
                name, _, value = words.pop(0).partition(": ")
                headers[name] = value
            case "-d":
                body = words.pop(0)
            case "-o":
                out = words.pop(0)
            case word:
                assert not word.startswith("-"), word
                url = word
    parts = urlsplit(url)
    try:
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        connection.request(method, url.partition(parts.netloc)[2], body, headers)
        answer = connection.getresponse().read()
        connection.close()
    except ConnectionRefusedError:
        return 7
    if out:
        with open(out, "wb") as file:  # noqa: PTH123 - a module less, for what starts ten times
            file.write(answer)
    else:
        sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
