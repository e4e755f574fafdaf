"""The help of each command, as a terminal of 80 columns shows it."""

from __future__ import annotations

from typing import Final

HELP: Final = {
    "": """\
usage: python -m curae_lifecycle [-h] [--version] COMMAND ...

The lifecycle of patient-data connections, as pure rules.

positional arguments:
  COMMAND
    tour      watch the rules answer, from the first initiate to the last
              revoke
    tables    print the tables of rules
    problems  print what each problem code means and what a client should do
    replay    run a log of traffic through the rules
    simulate  simulate clients that crash and retry, and check the laws at
              each step
    check     check a store of your own against the rules
    openapi   print the API as an OpenAPI 3.1 document
    asyncapi  print the events as an AsyncAPI 3.0 document
    database  create the tables of a SQL store, purge them, or erase an app
              user
    facts     record what happened outside of requests
    keys      register, narrow, withdraw and list API keys
    outbox    print effects and events as they are delivered

options:
  -h, --help  show this help message and exit
  --version   show program's version number and exit
""",
    "tour": """\
usage: python -m curae_lifecycle tour [-h]

Tells the story of the platform's operations. Each step shows the request, the
response and the rule that decided. On a terminal it is in colour if the extra
cli is installed.

options:
  -h, --help  show this help message and exit
""",
    "replay": """\
usage: python -m curae_lifecycle replay [-h] [--check]
                                        [--environment {live,test}]
                                        FILE

Reads JSON lines in time order, runs them through the rules on an empty store
and writes one JSON line for each. For a broken line it writes the error and
continues; the exit status is then 1.

positional arguments:
  FILE                  the log; - for standard input

options:
  -h, --help            show this help message and exit
  --check               compare recorded responses: status, code, body with
                        ids matched one to one, then the headers that the
                        rules fix. Each divergence is printed in its line's
                        answer and on standard error, with the rule that
                        decided that member; the exit status is 1 if there are
                        any
  --environment {live,test}
                        serve only this environment, and refuse a key of the
                        other one; by default both
""",
    "simulate": """\
usage: python -m curae_lifecycle simulate [-h] --seed N [--seeds M]
                                          [--clients C] [--hours H] [--cells]
                                          [--log FILE]

Simulates apps, users, hosted pages, flaky networks and workers that die, on a
simulated clock. The seed decides everything that happens. The laws are
checked at each step. If a law does not hold, the seed and a log for replay
are written and the exit status is 1.

options:
  -h, --help   show this help message and exit
  --seed N     the first seed
  --seeds M    how many seeds, one simulation each (default: 1)
  --clients C  how many apps in each simulation (default: 2)
  --hours H    how many simulated hours in each simulation (default: 24)
  --cells      print how many cells of the tables were reached, and which were
               not
  --log FILE   where to write the log of a violation; standard output by
               default
""",
    "openapi": """\
usage: python -m curae_lifecycle openapi [-h] [--server URL] [--write FILE]
                                         [--check]

Prints the requests and responses of all operations as JSON, with every
problem code.

options:
  -h, --help    show this help message and exit
  --server URL  the URL of your server, without the path of an operation
                (default: /)
  --write FILE  write to FILE instead of standard output
  --check       with --write: write nothing, and exit with status 1 if FILE is
                stale
""",
    "asyncapi": """\
usage: python -m curae_lifecycle asyncapi [-h] [--write FILE] [--check]

Prints the messages that an outbox delivers as JSON, one for each kind of
event.

options:
  -h, --help    show this help message and exit
  --write FILE  write to FILE instead of standard output
  --check       with --write: write nothing, and exit with status 1 if FILE is
                stale
""",
    "database": """\
usage: python -m curae_lifecycle database [-h] ACT ...

Works on the tables of a SQL store in SQLite, PostgreSQL or MariaDB.

positional arguments:
  ACT
    create    create missing tables
    purge     delete what expired or was erased more than five minutes ago
    erase     revoke everything of an app user and leave it to purge

options:
  -h, --help  show this help message and exit
""",
    "database create": """\
usage: python -m curae_lifecycle database create [-h] [--timeout SECONDS]
                                                 [--database URL]

Creates the tables and indexes that are missing and changes no existing one.
Several processes may do so at once.

options:
  -h, --help         show this help message and exit
  --timeout SECONDS  how long a statement may take, such as an index on a large
                     table, and may wait for a lock; by default 2
  --database URL     sqlite:///FILE,
                     postgresql+psycopg://USER:PASSWORD@HOST/NAME or
                     mariadb+pymysql://USER:PASSWORD@HOST/NAME; the default is
                     DATABASE_URL, which keeps the password out of the list of
                     processes
""",
    "database purge": """\
usage: python -m curae_lifecycle database purge [-h] [--database URL]

Deletes idempotency records, rate limits and hosted pages that expired more
than five minutes ago, a thousand at a time. Finishes the sweeps after
tombstones, and deletes the rows of app users that were erased more than five
minutes ago, once the outbox has delivered the messages about them. It may run
at any time, and several may run at once.

options:
  -h, --help      show this help message and exit
  --database URL  sqlite:///FILE, postgresql+psycopg://USER:PASSWORD@HOST/NAME
                  or mariadb+pymysql://USER:PASSWORD@HOST/NAME; the default is
                  DATABASE_URL, which keeps the password out of the list of
                  processes
""",
    "database erase": """\
usage: python -m curae_lifecycle database erase [-h] --app-id ID --account
                                                UUID --environment {live,test}
                                                [--database URL]

Reads the app user's id from standard input, which no list of processes shows.
Tombstones the user and revokes every connection. A purge deletes connections,
sessions, binding and hosted pages from five minutes later on, once the outbox
has delivered the messages about them.

options:
  -h, --help            show this help message and exit
  --app-id ID           the SDK app
  --account UUID        the customer account's id
  --environment {live,test}
                        the environment of the API keys
  --database URL        sqlite:///FILE,
                        postgresql+psycopg://USER:PASSWORD@HOST/NAME or
                        mariadb+pymysql://USER:PASSWORD@HOST/NAME; the default
                        is DATABASE_URL, which keeps the password out of the
                        list of processes
""",
    "facts": """\
usage: python -m curae_lifecycle facts [-h] [--database URL]
                                       [--ends-since INSTANT]
                                       FILE

Records facts, one JSON line each, in the form of `fact` in a log. Writes the
outcome of each when it is recorded. After a failure, go on with the first
line that has no outcome: a repeated revocation or tombstone may end access
that was given since. With --ends-since it records again the ends of access
that a restored database has lost; after a failure, repeat that before you
accept traffic. For a line that cannot be read it writes the error and
continues; the exit status is then 1.

positional arguments:
  FILE                  one JSON line for each fact; - for standard input

options:
  -h, --help            show this help message and exit
  --database URL        sqlite:///FILE,
                        postgresql+psycopg://USER:PASSWORD@HOST/NAME or
                        mariadb+pymysql://USER:PASSWORD@HOST/NAME; the default
                        is DATABASE_URL, which keeps the password out of the
                        list of processes
  --ends-since INSTANT  take lines that `outbox` printed, and record again
                        what ended access: revocations, expiries, required
                        actions and, last, tombstones, from ten minutes before
                        INSTANT on, such as 2026-01-31T08:00:00Z
""",
    "outbox": """\
usage: python -m curae_lifecycle outbox [-h] [--database URL]
                                        [--once | --dead | --revive NUMBER | --discard NUMBER]

Prints a JSON line for each effect and event and then deletes it from the
outbox. Each is printed at least once, and those of one subject in their
order. Print to a file: the reader of a pipe that ends loses the lines that it
has not handled. A server delivers them with
curae_lifecycle.stores.sql.outbox_worker instead.

options:
  -h, --help        show this help message and exit
  --database URL    sqlite:///FILE,
                    postgresql+psycopg://USER:PASSWORD@HOST/NAME or
                    mariadb+pymysql://USER:PASSWORD@HOST/NAME; the default is
                    DATABASE_URL, which keeps the password out of the list of
                    processes
  --once            end when no message is due, instead of waiting for more;
                    the exit status is 1 if a message could not be printed
  --dead            list all dead messages
  --revive NUMBER   make a dead message due again
  --discard NUMBER  delete a dead message
""",
}
"""The help by the words of the command; the help of the program itself by no word."""
