"""The statements of the platform's reference on the reconnect operation."""

from __future__ import annotations

from typing import Final

from docs.generate.traceability.statement import Part, Statement

LIFECYCLE: Final = Part(
    "Reconnect: what it does",
    (
        Statement(
            number="R1",
            says="There is an operation that reconnects a connection of an app's patient.",
            rules=("operation.reconnect", "#connection", "#sdk-app", "request.rule"),
            code=("service.operations.reconnect:Reconnect",),
            tests=(
                "service/operations/test_decisions::test_seven_operations_are_listed_in_the_order_of_the_rules",
                "service/operations/test_whole_decisions::test_reconnect_decision_of_a_chain_head_writes_a_successor",
            ),
            names=("reconnect",),
        ),
        Statement(
            number="R2",
            says="It begins a recovery in the connection's lifecycle.",
            rules=("#reconnect-recovers", "#reconnect-and-revoke"),
            code=("rules.chain:reconnect", "rules.chain:RECOVERY"),
            tests=(
                "rules/test_chain::test_reconnect_matches_the_recovery_table_in_every_cell",
                "service/operations/test_whole_decisions::test_reconnect_decision_of_a_chain_head_writes_a_successor",
            ),
        ),
        Statement(
            number="R3",
            says="A connection that has expired is recovered.",
            rules=(
                "connection.reconnect.expired",
                "recovery.expired.none",
                "standing.expired",
                "deadline.expired",
                "life.expired",
                "wire-status.expired",
                "stored-status.expired",
            ),
            code=("rules.triggers:TRIGGERS", "rules.chain:reconnect", "rules.connection:STANDING"),
            tests=(
                "rules/test_triggers::test_each_trigger_in_each_standing_matches_the_table",
                "rules/test_chain::test_reconnect_matches_the_recovery_table_in_every_cell",
                "rules/test_wire_status::test_each_standing_formats_as_its_wire_status",
            ),
            names=("EXPIRED",),
        ),
        Statement(
            number="R4",
            says="A connection that was revoked is recovered.",
            rules=("connection.reconnect.revoked", "recovery.revoked.none"),
            code=("rules.triggers:TRIGGERS", "rules.chain:reconnect"),
            tests=(
                "rules/test_chain::test_reconnect_matches_the_recovery_table_in_every_cell",
                "service/operations/test_whole_decisions::test_reconnect_decision_of_a_chain_head_writes_a_successor",
            ),
            names=("REVOKED",),
        ),
        Statement(
            number="R5",
            says="A connection on which the patient must act is recovered.",
            rules=(
                "connection.reconnect.action-required",
                "recovery.action-required.none",
                "standing.action-required",
                "wire-status.action-required",
                "stored-status.action-required",
            ),
            code=("rules.triggers:TRIGGERS", "rules.chain:reconnect", "rules.connection:STANDING"),
            tests=(
                "rules/test_triggers::test_each_trigger_in_each_standing_matches_the_table",
                "rules/test_chain::test_reconnect_matches_the_recovery_table_in_every_cell",
            ),
            names=("ACTION_REQUIRED",),
        ),
        Statement(
            number="R6",
            says="An active connection is not reconnected.",
            rules=(
                "connection.reconnect.active",
                "problem.connection-not-reconnectable",
                "standing.active",
                "life.active",
                "wire-status.active",
                "stored-status.active",
            ),
            code=("rules.triggers:ALREADY_ACTIVE", "rules.chain:reconnect"),
            tests=(
                "rules/test_chain::test_reconnect_of_pending_or_active_is_refused",
                "web/test_sample::test_answer_409_has_the_members_and_types_of_the_reference",
            ),
            names=("ACTIVE",),
        ),
        Statement(
            number="R7",
            says="A pending connection is not reconnected.",
            rules=(
                "connection.reconnect.pending",
                "problem.connection-not-reconnectable",
                "wire-status.pending",
                "stored-status.pending",
                "access.pending",
            ),
            code=("rules.triggers:STILL_PENDING", "rules.chain:reconnect"),
            tests=(
                "rules/test_chain::test_reconnect_of_pending_or_active_is_refused",
                "web/test_sample::test_answer_409_has_the_members_and_types_of_the_reference",
            ),
            names=("PENDING",),
        ),
        Statement(
            number="R8",
            says="These words stand twice in it, beside the title and beside the path.",
            not_ours="A repetition: R1 to R7 are their rows.",
        ),
    ),
)

REQUEST: Final = Part(
    "Reconnect: its request",
    (
        Statement(
            number="R9",
            says="The method is POST, and the path ends in the connection's id and `:reconnect`.",
            rules=("operation.reconnect", "request.route"),
            code=("service.operations.reconnect:Reconnect", "web.read:read"),
            tests=(
                "web/test_read::test_each_path_maps_to_its_operation_and_success_http_status",
                "web/test_read::test_unknown_path_or_method_gets_404",
                "web/test_sample::test_reconnect_request_of_reference_with_an_api_key_gets_201",
            ),
            names=("POST", "/api/sdk/v1/connections/{connectionId}:reconnect"),
        ),
        Statement(
            number="R10",
            says="The path has one parameter, the connection's id, which the sample shows as a UUID.",
            rules=("request.body", "#times-and-ids"),
            code=("service.members:CONNECTION_ID", "rules.values:parse_uuid"),
            tests=(
                "web/test_read::test_path_id_is_a_uuid_in_either_letter_case_else_400",
                "web/openapi/test_document::test_parameter_and_header_examples_are_valid",
            ),
            names=("connectionId",),
        ),
        Statement(
            number="R11",
            says="It is authorized by a scheme of the name `platformApiKey`.",
            rules=("#security-scheme", "request.credentials"),
            code=("web.openapi.document:openapi",),
            tests=("web/test_sample::test_security_scheme_is_a_bearer_key_named_as_in_reference",),
            names=("platformApiKey",),
        ),
        Statement(
            number="R12",
            says="The API key comes in a header, after the word Bearer.",
            rules=("#api-key-opaque", "request.credentials"),
            code=("web.request:bearer",),
            tests=(
                "web/test_request::test_api_key_is_read_from_exactly_one_authorization_header",
                "web/test_sample::test_security_scheme_is_a_bearer_key_named_as_in_reference",
            ),
            names=("Authorization", "Bearer"),
        ),
        Statement(
            number="R13",
            says="An API key is opaque, looks like `cae_live_` and more, and is no JWT.",
            rules=("#api-key-opaque", "#sdk-app"),
            code=("rules.credentials:ApiKey",),
            tests=(
                "rules/test_credentials::test_equal_api_key_texts_compare_equal_and_repr_hides_them",
                "rules/test_credentials::test_formatting_an_api_key_hides_its_text",
                "web/test_sample::test_api_key_of_any_form_even_a_jwt_is_accepted_unparsed",
            ),
            names=("cae_live_",),
        ),
        Statement(
            number="R14",
            says="The header Idempotency-Key is required.",
            rules=("request.key-required", "#key-needed", "operation.reconnect"),
            code=("service.operations.operation:KeyUse", "web.read:read"),
            tests=(
                "web/test_sample::test_reference_request_without_idempotency_key_gets_400",
                "service/test_gates::test_parsing_and_deciding_run_the_gates_in_table_order",
            ),
            names=("Idempotency-Key",),
        ),
        Statement(
            number="R15",
            says="The key is there so that a reconnect can be retried safely.",
            rules=("idempotency.completed.same", "attempt.complete", "record-standing.completed"),
            code=("rules.idempotency:begin_attempt", "rules.attempt:complete"),
            tests=(
                "rules/test_idempotency::test_law_12_one_key_executes_once_in_every_interleaving",
                "web/test_sample::test_reference_request_sent_twice_gets_the_same_bytes",
            ),
        ),
        Statement(
            number="R16",
            says="The body is JSON; in the sample it is an empty object.",
            rules=("request.body", "#longest-body"),
            code=("web.json:parse_json", "service.operations.reconnect:Reconnect"),
            tests=(
                "web/test_sample::test_reconnect_request_of_reference_with_an_api_key_gets_201",
                "web/test_read::test_body_as_bytes_or_as_parsed_json_gives_the_same_result",
            ),
            names=("Content-Type", "application/json"),
        ),
        Statement(
            number="R17",
            says="The body's type may be used in TypeScript.",
            tests=(
                "docs/typescript/test_typescript::test_typescript_client_handling_every_problem_code_compiles",
            ),
            not_ours="A tool of the client's makes the types from `docs/openapi.json`; a test does it once.",
        ),
        Statement(
            number="R18",
            says="The sample's host is an example.",
            not_ours="Which host answers is the server's to say: a request comes in with its path alone.",
        ),
        Statement(
            number="R19",
            says="The sample's command prints no API key.",
            rules=("request.credentials",),
            code=("web.read:read", "stores.serve:serve"),
            tests=(
                "web/test_sample::test_reconnect_request_of_reference_with_an_api_key_gets_201",
            ),
        ),
    ),
)

RESPONSE: Final = Part(
    "Reconnect: its answers",
    (
        Statement(
            number="R20",
            says="What is done is answered in JSON with a connection, the id of the one before, "
            "and a next action.",
            rules=("#reconnect-recovers", "operation.reconnect"),
            code=("service.operations.reconnect:ConnectionReconnected", "web.respond:respond"),
            tests=(
                "web/test_sample::test_reconnect_request_of_reference_with_an_api_key_gets_201",
                "web/test_respond::test_law_13_responses_contain_no_internal_id_or_name",
            ),
            names=("connection", "previousConnectionId", "nextAction", "application/json"),
        ),
        Statement(
            number="R21",
            says="The id of the one before is another than the connection's: a new one recovers it.",
            rules=("#reconnect-recovers", "recovery.revoked.none"),
            code=("rules.chain:Minted",),
            tests=(
                "web/test_sample::test_reconnect_request_of_reference_with_an_api_key_gets_201",
                "proof/stateful/test_machines::test_law_06_chain_stays_linear_with_one_active_connection",
            ),
            names=("previousConnectionId",),
        ),
        Statement(
            number="R22",
            says="A connection has eleven members.",
            rules=("#connection-members",),
            code=("web.wire_format:format_connection",),
            tests=(
                "web/test_wire_format::test_connection_json_has_exactly_the_documented_members",
                "web/test_sample::test_reconnect_request_of_reference_with_an_api_key_gets_201",
            ),
            names=(
                "connection.id",
                "connection.customerAccountId",
                "connection.appUserId",
                "connection.status",
                "connection.dataPackages",
                "connection.authorizedAt",
                "connection.expiresAt",
                "connection.revokedAt",
                "connection.actionRequiredReason",
                "connection.createdAt",
                "connection.updatedAt",
            ),
        ),
        Statement(
            number="R23",
            says="Its ids and the customer account's are UUIDs, an app user's id is any text.",
            rules=("#times-and-ids", "#coordinate"),
            code=(
                "rules.values:parse_uuid",
                "rules.values:parse_app_user_id",
                "web.wire_format:parse_connection",
            ),
            tests=(
                "rules/test_values::test_uuid_in_any_case_is_returned_in_lower_case",
                "rules/test_values::test_valid_id_or_reason_text_is_parsed_unchanged",
            ),
            names=("connection.id", "connection.customerAccountId", "connection.appUserId"),
        ),
        Statement(
            number="R24",
            says="Its status is a word, PENDING where it was just made.",
            rules=("#connection-status", "wire-status.pending"),
            code=("rules.connection:Status", "rules.wire_status:WIRE_STATUS"),
            tests=(
                "rules/test_connection::test_status_and_standing_members_are_declared_in_rank_order",
                "rules/test_connection::test_new_connection_is_pending_until_its_next_action_ends",
            ),
            names=("connection.status", "PENDING"),
        ),
        Statement(
            number="R25",
            says="Its data packages are a list of words such as `clinical_summary`.",
            rules=("access.active-other-package", "#connection-members"),
            code=("rules.values:parse_data_packages", "rules.access:decide_access"),
            tests=(
                "rules/test_values::test_data_packages_are_sorted_without_duplicates",
                "rules/test_access::test_access_in_each_standing_matches_the_access_table",
            ),
            names=("connection.dataPackages", "clinical_summary"),
        ),
        Statement(
            number="R26",
            says="It may end at an instant that it shows.",
            rules=("deadline.active",),
            code=("rules.connection:next_deadline",),
            tests=(
                "rules/test_connection::test_next_deadline_of_each_status_matches_the_table",
                "rules/test_connection::test_law_04_standing_never_moves_back_as_time_passes",
            ),
            names=("connection.expiresAt",),
        ),
        Statement(
            number="R27",
            says="Times are written in UTC, to the second or finer, with a Z.",
            rules=("#times-and-ids",),
            code=("rules.values:format_time", "rules.values:parse_time"),
            tests=(
                "rules/test_values::test_parsed_time_is_utc_and_formats_back_unchanged",
                "web/test_sample::test_reconnect_request_of_reference_with_an_api_key_gets_201",
            ),
            names=("connection.createdAt", "connection.updatedAt", "connection.authorizedAt"),
        ),
        Statement(
            number="R28",
            says="The reason for an action is a text.",
            rules=("#connection-members",),
            code=("rules.triggers:require_action", "service.members:REASON"),
            tests=(
                "web/test_wire_format::test_connection_json_has_exactly_the_documented_members",
            ),
            names=("connection.actionRequiredReason",),
        ),
        Statement(
            number="R29",
            says="The sample shows every member at once: PENDING, and when it was revoked.",
            rules=("#sample-of-all-members", "stored-status.revoked-at"),
            code=("web.wire_format:parse_connection",),
            tests=(
                "web/test_wire_format::test_connection_json_with_revoked_at_denies_access_for_ever",
            ),
            names=("connection.revokedAt",),
        ),
        Statement(
            number="R30",
            says="A next action is to open a web view at a URL, and ends at an instant.",
            rules=("#next-action",),
            code=("rules.values:NextAction", "web.wire_format:format_next_action"),
            tests=(
                "web/test_wire_format::test_next_action_json_has_its_type_url_and_expiry",
                "web/test_sample::test_reconnect_request_of_reference_with_an_api_key_gets_201",
            ),
            names=("nextAction.type", "nextAction.url", "nextAction.expiresAt", "open_webview"),
        ),
        Statement(
            number="R31",
            says="What the web view shows.",
            not_ours="The hosted page is the server's, and so is how it knows the patient: "
            "[hosted pages](pages.md) lists what one must do, and shows it in four servers.",
        ),
        Statement(
            number="R32",
            says="What is refused is answered as a problem, in the media type of problems.",
            rules=("#problem-members",),
            code=("web.respond:respond", "rules.problems:Problem"),
            tests=(
                "web/test_sample::test_answer_409_has_the_members_and_types_of_the_reference",
                "web/test_respond::test_problem_response_has_exactly_its_documented_headers",
            ),
            names=("application/problem+json",),
        ),
        Statement(
            number="R33",
            says="A problem has eight members, of which `status` is a number, `details` an object "
            "and `retryable` true or false.",
            rules=("#problem-members", "problem.connection-not-reconnectable"),
            code=("web.wire_format:format_problem", "rules.problems:CATALOGUE"),
            tests=(
                "web/test_wire_format::test_problem_json_is_formatted_as_in_rfc_9457",
                "web/test_sample::test_answer_409_has_the_members_and_types_of_the_reference",
            ),
            names=(
                "problem.type",
                "problem.title",
                "problem.status",
                "problem.detail",
                "problem.instance",
                "problem.code",
                "problem.details",
                "problem.retryable",
            ),
        ),
    ),
)
