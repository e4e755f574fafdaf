"""Every table of the rules, written by hand, in the words of its page.

The model looks its verdicts up here, and so do the tests of the modules and the proofs. Nothing is
shared with the package, and neither is generated from the other.
"""

from __future__ import annotations

Key = tuple[str, ...]
"""A cell of a table: one word for each axis."""
Table = dict[Key, str]

REASONS = {
    "STILL_PENDING": "CONNECTION_NOT_RECONNECTABLE (STILL_PENDING)",
    "ALREADY_ACTIVE": "CONNECTION_NOT_RECONNECTABLE (ALREADY_ACTIVE)",
}
"""The problem of a reason."""


def table(text: str) -> Table:
    """Parse a table: its last axis across, the others down, separated by `×`.

    A cell that ends in `!` is a refusal with that code or reason. A table of one axis has one
    column without a name.
    """
    head, *lines = [[cell.strip() for cell in line.split("|")] for line in text.strip().split("\n")]
    return {
        (*line[0].split(" × "), *filter(None, [column])): verdict(cell)
        for line in lines
        for column, cell in zip(head[1:], line[1:], strict=True)
    }


def turned(written: Table) -> Table:
    """Return a table of two axes with the one across first."""
    return {(across, down): cell for (down, across), cell in written.items()}


def verdict(cell: str) -> str:
    if not cell.endswith("!"):
        return cell
    code = cell.removesuffix("!")
    return f"refuse {REASONS.get(code, code)}"


# Connections ------------------------------------------------------------------------------

DEADLINE = table("""
status × revocation            | made under the present era | made under another era
PENDING × no revokedAt         | the hand-off's deadline    | none
ACTIVE × no revokedAt          | expiresAt                  | none
ACTION_REQUIRED × no revokedAt | expiresAt                  | none
EXPIRED × no revokedAt         | none                       | none
REVOKED × no revokedAt         | none                       | none
PENDING × a revokedAt          | none                       | none
ACTIVE × a revokedAt           | none                       | none
ACTION_REQUIRED × a revokedAt  | none                       | none
EXPIRED × a revokedAt          | none                       | none
REVOKED × a revokedAt          | none                       | none
""")
STANDING = table("""
status × revocation × era                                   | before the deadline, or none set | at or after the deadline
PENDING × no revokedAt × made under the present era         | PENDING                          | LAPSED
ACTIVE × no revokedAt × made under the present era          | ACTIVE                           | EXPIRED
ACTION_REQUIRED × no revokedAt × made under the present era | ACTION_REQUIRED                  | EXPIRED
EXPIRED × no revokedAt × made under the present era         | EXPIRED                          | EXPIRED
REVOKED × no revokedAt × made under the present era         | REVOKED                          | REVOKED
PENDING × no revokedAt × made under another era             | REVOKED                          | REVOKED
ACTIVE × no revokedAt × made under another era              | REVOKED                          | REVOKED
ACTION_REQUIRED × no revokedAt × made under another era     | REVOKED                          | REVOKED
EXPIRED × no revokedAt × made under another era             | REVOKED                          | REVOKED
REVOKED × no revokedAt × made under another era             | REVOKED                          | REVOKED
PENDING × a revokedAt × made under the present era          | REVOKED                          | REVOKED
ACTIVE × a revokedAt × made under the present era           | REVOKED                          | REVOKED
ACTION_REQUIRED × a revokedAt × made under the present era  | REVOKED                          | REVOKED
EXPIRED × a revokedAt × made under the present era          | REVOKED                          | REVOKED
REVOKED × a revokedAt × made under the present era          | REVOKED                          | REVOKED
PENDING × a revokedAt × made under another era              | REVOKED                          | REVOKED
ACTIVE × a revokedAt × made under another era               | REVOKED                          | REVOKED
ACTION_REQUIRED × a revokedAt × made under another era      | REVOKED                          | REVOKED
EXPIRED × a revokedAt × made under another era              | REVOKED                          | REVOKED
REVOKED × a revokedAt × made under another era              | REVOKED                          | REVOKED
""")  # noqa: E501 - a row is one line
RECORDS_EXPIRY = "EXPIRED (records it) or ignore"
"""The verdict that the table `expiry-record` decides."""
CONNECTION = turned(
    table(f"""
standing        | authorize               | require_action  | expire           | revoke  | reconnect
PENDING         | ACTIVE                  | ignore          | ignore           | REVOKED | STILL_PENDING!
LAPSED          | HANDOFF_LAPSED!         | ignore          | ignore           | REVOKED | recover
ACTIVE          | ignore                  | ACTION_REQUIRED | EXPIRED          | REVOKED | ALREADY_ACTIVE!
ACTION_REQUIRED | CONNECTION_NOT_PENDING! | ignore          | EXPIRED          | REVOKED | recover
EXPIRED         | CONNECTION_NOT_PENDING! | ignore          | {RECORDS_EXPIRY} | REVOKED | recover
REVOKED         | CONNECTION_NOT_PENDING! | ignore          | ignore           | ignore  | recover
""")
)
EXPIRY_RECORD = table("""
status          |
ACTIVE          | EXPIRED
ACTION_REQUIRED | EXPIRED
EXPIRED         | ignore
""")
AUTHORIZATION = table("""
successor               |
no successor            | proceed
successor PENDING       | CONNECTION_SUPERSEDED!
successor anything else | CONNECTION_SUPERSEDED!
""")
RECOVERY = table("""
standing        | no successor     | successor PENDING     | successor anything else
LAPSED          | mint a successor | reissue the successor | CONNECTION_SUPERSEDED!
ACTION_REQUIRED | mint a successor | reissue the successor | CONNECTION_SUPERSEDED!
EXPIRED         | mint a successor | reissue the successor | CONNECTION_SUPERSEDED!
REVOKED         | mint a successor | reissue the successor | CONNECTION_SUPERSEDED!
""")
REVOCATION_REACH = table("""
actor    |
APP      | that connection
PATIENT  | that connection and every later one
PLATFORM | that connection and every later one
UPSTREAM | that connection
""")
LIFE = table("""
standing        |
PENDING         | live
LAPSED          | over
ACTIVE          | live
ACTION_REQUIRED | live
EXPIRED         | over
REVOKED         | over
""")
ENDING = table("""
status          |
PENDING         | its live hand-off
ACTIVE          | the access that it gave
ACTION_REQUIRED | the access that it gave
EXPIRED         | the access that it gave
""")
ACCESS = table("""
standing        | package granted      | package not granted
PENDING         | deny PENDING         | deny PENDING
LAPSED          | deny LAPSED          | deny LAPSED
ACTIVE          | grant                | deny PACKAGE_NOT_GRANTED
ACTION_REQUIRED | deny ACTION_REQUIRED | deny ACTION_REQUIRED
EXPIRED         | deny EXPIRED         | deny EXPIRED
REVOKED         | deny REVOKED         | deny REVOKED
""")
WIRE_STATUS = table("""
standing        |
PENDING         | PENDING
LAPSED          | EXPIRED
ACTIVE          | ACTIVE
ACTION_REQUIRED | ACTION_REQUIRED
EXPIRED         | EXPIRED
REVOKED         | REVOKED
""")
STORED_STATUS = table("""
status × revocation            | authorizedAt or a reason | neither authorizedAt nor a reason
PENDING × no revokedAt         | PENDING                  | PENDING
ACTIVE × no revokedAt          | ACTIVE                   | ACTIVE
AUTHORIZED × no revokedAt      | ACTIVE                   | ACTIVE
ACTION_REQUIRED × no revokedAt | ACTION_REQUIRED          | ACTION_REQUIRED
EXPIRED × no revokedAt         | EXPIRED                  | PENDING, its hand-off over
REVOKED × no revokedAt         | REVOKED                  | REVOKED
PENDING × a revokedAt          | REVOKED                  | REVOKED
ACTIVE × a revokedAt           | REVOKED                  | REVOKED
AUTHORIZED × a revokedAt       | REVOKED                  | REVOKED
ACTION_REQUIRED × a revokedAt  | REVOKED                  | REVOKED
EXPIRED × a revokedAt          | REVOKED                  | REVOKED
REVOKED × a revokedAt          | REVOKED                  | REVOKED
""")

# Accounts ---------------------------------------------------------------------------------

LANDED = "EXISTING_ACTIVE_HANDOFF, hand-off LANDED"
AWAITED = "NEW_ACTIVE_SIGNUP_HANDOFF, hand-off AWAITED"
SILENT = "SILENT_LIMITED, hand-off NOT_REQUIRED"
ENTRY_PATH = table(f"""
account    | preferSignup true                | preferSignup false or absent
UNLINKED   | {AWAITED}, none yet              | {SILENT}, a new LIMITED user
LIMITED    | {SILENT}, the bound LIMITED user | {SILENT}, the bound LIMITED user
ACTIVE     | {LANDED}, the bound user         | {LANDED}, the bound user
TOMBSTONED | {SILENT}, a new LIMITED user     | {SILENT}, a new LIMITED user
""")
"""The path, the hand-off and the user of a session."""
BINDING = table("""
trigger × account             | same user        | other user, or none bound
provision × UNLINKED          | LIMITED          | LIMITED
provision × LIMITED           | ignore           | ignore
provision × ACTIVE            | ignore           | ignore
provision × TOMBSTONED        | LIMITED          | LIMITED
complete sign-up × UNLINKED   | ACTIVE           | ACTIVE
complete sign-up × LIMITED    | BINDING_CHANGED! | BINDING_CHANGED!
complete sign-up × ACTIVE     | ignore           | BINDING_CONFLICT!
complete sign-up × TOMBSTONED | BINDING_CHANGED! | BINDING_CHANGED!
graduate × UNLINKED           | BINDING_CHANGED! | BINDING_CHANGED!
graduate × LIMITED            | ACTIVE           | BINDING_CONFLICT!
graduate × ACTIVE             | ignore           | BINDING_CONFLICT!
graduate × TOMBSTONED         | BINDING_CHANGED! | BINDING_CHANGED!
tombstone × UNLINKED          | TOMBSTONED       | TOMBSTONED
tombstone × LIMITED           | TOMBSTONED       | TOMBSTONED
tombstone × ACTIVE            | TOMBSTONED       | TOMBSTONED
tombstone × TOMBSTONED        | TOMBSTONED       | TOMBSTONED
""")
TOMBSTONE_REPORT = table("""
report                                       |
reported with the happenedAt of the last one | ignore
any other, or without happenedAt             | proceed
""")
"""The reports that copy the last tombstone; on `proceed`, the table `binding` decides."""
COMPLETION = turned(
    table("""
session                         | EXISTING_ACTIVE_HANDOFF | NEW_ACTIVE_SIGNUP_HANDOFF | SILENT_LIMITED
waiting                         | HANDOFF_NOT_REQUIRED!   | proceed                   | HANDOFF_NOT_REQUIRED!
over without landing            | HANDOFF_NOT_REQUIRED!   | SESSION_EXPIRED!          | HANDOFF_NOT_REQUIRED!
waiting, made under another era | HANDOFF_NOT_REQUIRED!   | BINDING_CHANGED!          | HANDOFF_NOT_REQUIRED!
landed for the same user        | HANDOFF_NOT_REQUIRED!   | ignore                    | HANDOFF_NOT_REQUIRED!
landed for another user         | HANDOFF_NOT_REQUIRED!   | BINDING_CONFLICT!         | HANDOFF_NOT_REQUIRED!
""")
)
"""The outcome of completing a hand-off; on `proceed`, the table `binding` decides."""
GRADUATION_HANDOFF = table("""
account    |
UNLINKED   | BINDING_NOT_LIMITED!
LIMITED    | proceed
ACTIVE     | BINDING_NOT_LIMITED!
TOMBSTONED | BINDING_NOT_LIMITED!
""")

# Idempotency records ----------------------------------------------------------------------

RECORD_STANDING = table("""
state × lease             | execute                  | unknown
IN_FLIGHT × lease running | in flight, lease running | in flight, lease running
IN_FLIGHT × lease over    | in flight, lease over    | unknown
RELEASED × lease running  | released                 | released
RELEASED × lease over     | released                 | released
COMPLETED × lease running | completed                | completed
COMPLETED × lease over    | completed                | completed
FORGOTTEN × lease running | forgotten                | forgotten
FORGOTTEN × lease over    | forgotten                | forgotten
""")
"""The standing of a record within its retention, by what follows a lost lease."""
IDEMPOTENCY = table("""
standing                  | same fingerprint             | other fingerprint
absent, or retention over | execute                      | execute
released                  | execute                      | IDEMPOTENCY_KEY_REUSED!
in flight, lease running  | IDEMPOTENCY_KEY_IN_FLIGHT!   | IDEMPOTENCY_KEY_REUSED!
in flight, lease over     | execute                      | IDEMPOTENCY_KEY_REUSED!
unknown                   | IDEMPOTENCY_OUTCOME_UNKNOWN! | IDEMPOTENCY_KEY_REUSED!
completed                 | replay                       | IDEMPOTENCY_KEY_REUSED!
forgotten                 | IDEMPOTENCY_KEY_FORGOTTEN!   | IDEMPOTENCY_KEY_REUSED!
""")
HELD = {"renew": "IN_FLIGHT", "complete": "COMPLETED", "release": "RELEASED"}
"""The state of a record after each act of the attempt that holds its lease."""
ATTEMPT: Table = {
    (act, standing, holder): (
        state
        if (standing, holder) == ("in flight, lease running", "this attempt")
        else "lease lost"
    )
    for act, state in HELD.items()
    for standing, fingerprint in IDEMPOTENCY
    if fingerprint == "same fingerprint"
    for holder in ["this attempt", "another attempt"]
}
RECORD_UPKEEP = turned(
    table("""
standing                  | resolve with a response | resolve as not executed | forget
absent, or retention over | ignore                  | ignore                  | ignore
released                  | ignore                  | ignore                  | FORGOTTEN
in flight, lease running  | ignore                  | ignore                  | FORGOTTEN
in flight, lease over     | COMPLETED               | RELEASED                | FORGOTTEN
unknown                   | COMPLETED               | RELEASED                | FORGOTTEN
completed                 | ignore                  | ignore                  | FORGOTTEN
forgotten                 | ignore                  | ignore                  | ignore
""")
)

# Requests ---------------------------------------------------------------------------------

PERMISSION = table("""
environment         | scope held or not needed | scope missing
environment served  | proceed                  | SCOPE_INSUFFICIENT!
another environment | WRONG_ENVIRONMENT!       | WRONG_ENVIRONMENT!
""")
REQUEST = table("""
gate                         |
credentials                  | UNAUTHENTICATED!
path and method              | NOT_FOUND!
environment and scope        | see permission
path ids, query and body     | BAD_REQUEST!
no key where none is allowed | IDEMPOTENCY_KEY_NOT_ALLOWED!
a key where one is needed    | IDEMPOTENCY_KEY_REQUIRED!
a key that can be read       | IDEMPOTENCY_KEY_INVALID!
the platform's buckets       | RATE_LIMITED!
the key's record             | see idempotency
the app user's limit         | RATE_LIMITED!
ownership                    | NOT_FOUND!
the rule itself              | see the tables of the operation
room in the store            | INTERNAL!
""")
API = "/api/sdk/v1"
WRITE = "connection:write, key"
READ = "no scope, key not looked at"
OPERATION = table(f"""
operation          |
create-connection  | POST {API}/connections → 201; {WRITE} needed, no limit
get-connection     | GET {API}/connections/{{connectionId}} → 200; {READ}, no limit
reconnect          | POST {API}/connections/{{connectionId}}:reconnect → 201; {WRITE} needed, no limit
revoke             | POST {API}/connections/{{connectionId}}:revoke → 200; {WRITE} needed, no limit
initiate           | POST {API}/curae-connect/initiate → 201; {WRITE} needed, 10 a minute
account-state      | GET {API}/curae-connect/account-state → 200; {READ}, no limit
graduation-handoff | POST {API}/curae-connect/graduation-handoff → 201; {WRITE} not allowed, 10 a minute
""")

# Problems ---------------------------------------------------------------------------------

PROBLEM_STATUS = table("""
kind           |
invalid        | 400, not kept
unknown caller | 401, not kept
forbidden      | 403, not kept
absent         | 404, kept
conflict       | 409, kept
mismatch       | 422, not kept
limited        | 429, not kept
failed         | 500, not kept
""")
"""The HTTP status of a kind of problem, and whether its response is kept under the key."""
PROBLEMS = table("""
code                         |
BAD_REQUEST                  | invalid, final, details: member, fault
IDEMPOTENCY_KEY_REQUIRED     | invalid, final, details: none
IDEMPOTENCY_KEY_INVALID      | invalid, final, details: none
IDEMPOTENCY_KEY_NOT_ALLOWED  | invalid, final, details: none
UNAUTHENTICATED              | unknown caller, final, details: none
SCOPE_INSUFFICIENT           | forbidden, final, details: scope
WRONG_ENVIRONMENT            | forbidden, final, details: environment
CONNECTION_ACCESS_DENIED     | forbidden, final, details: connectionId, dataPackage, reason
NOT_FOUND                    | absent, final, details: none
CONNECTION_NOT_RECONNECTABLE | conflict, final, details: connectionId, reason
CONNECTION_SUPERSEDED        | conflict, final, details: connectionId, nextConnectionId, headConnectionId
CONNECTION_NOT_PENDING       | conflict, final, details: connectionId, standing
HANDOFF_LAPSED               | conflict, final, details: connectionId, deadline
SESSION_EXPIRED              | conflict, final, details: sessionId, expiresAt
HANDOFF_NOT_REQUIRED         | conflict, final, details: sessionId, path
BINDING_CHANGED              | conflict, final, details: lifecycleState
BINDING_CONFLICT             | conflict, final, details: lifecycleState
BINDING_NOT_LIMITED          | conflict, final, details: lifecycleState
IDEMPOTENCY_KEY_IN_FLIGHT    | conflict, retryable, details: retryAfter
IDEMPOTENCY_OUTCOME_UNKNOWN  | conflict, final, details: none
IDEMPOTENCY_KEY_FORGOTTEN    | conflict, final, details: none
IDEMPOTENCY_KEY_REUSED       | mismatch, final, details: differs
RATE_LIMITED                 | limited, retryable, details: policy, retryAfter
INTERNAL                     | failed, retryable, details: none
""")


def problem_type(code: str) -> tuple[str, bool, list[str]]:
    """Return the kind of a problem, whether it is retryable, and the keys of its details."""
    kind, retryable, details = PROBLEMS[code,].split(", ", 2)
    keys = details.removeprefix("details: ").split(", ")
    return kind, retryable == "retryable", [] if keys == ["none"] else keys


def status_of(code: str) -> int:
    kind, _, _ = problem_type(code)
    return int(PROBLEM_STATUS[kind,].partition(",")[0])


TABLES: dict[str, Table] = {
    "deadline": DEADLINE,
    "standing": STANDING,
    "connection": CONNECTION,
    "expiry-record": EXPIRY_RECORD,
    "authorization": AUTHORIZATION,
    "recovery": RECOVERY,
    "revocation-reach": REVOCATION_REACH,
    "life": LIFE,
    "ending": ENDING,
    "access": ACCESS,
    "entry-path": ENTRY_PATH,
    "binding": BINDING,
    "tombstone-report": TOMBSTONE_REPORT,
    "completion": COMPLETION,
    "graduation-handoff": GRADUATION_HANDOFF,
    "record-standing": RECORD_STANDING,
    "idempotency": IDEMPOTENCY,
    "attempt": ATTEMPT,
    "record-upkeep": RECORD_UPKEEP,
    "permission": PERMISSION,
    "request": REQUEST,
    "operation": OPERATION,
    "problems": PROBLEMS,
    "problem-status": PROBLEM_STATUS,
    "wire-status": WIRE_STATUS,
    "stored-status": STORED_STATUS,
}
"""Each table by the name of its page, its axes in the page's order."""
