"""The statements of the platform's reference on the revoke and initiate operations."""

from __future__ import annotations

from typing import Final

from docs.generate.traceability.statement import Part, Statement

REVOKE: Final = Part(
    "Revoke",
    (
        Statement(
            number="V1",
            says="There is an operation that revokes a connection; its method is POST.",
            rules=("operation.revoke",),
            code=("service.operations.revoke:Revoke",),
            tests=(
                "web/test_read::test_each_path_maps_to_its_operation_and_success_http_status",
                "service/operations/test_whole_decisions::test_revoke_decision_is_200_and_ends_access",
            ),
            names=("revoke", "POST"),
        ),
        Statement(
            number="V2",
            says="Revocation is monotone.",
            rules=(
                "#revoke-monotone",
                "#reconnect-and-revoke",
                "connection.revoke.revoked",
                "standing.revoked",
                "deadline.revoked",
                "life.revoked",
                "wire-status.revoked",
                "stored-status.revoked",
            ),
            code=("rules.triggers:revoke", "rules.merge:merge"),
            tests=(
                "rules/test_triggers::test_law_01_rank_of_a_stored_status_never_falls",
                "rules/test_triggers::test_law_02_second_revoke_keeps_the_first_revoked_at",
                "rules/test_merge::test_law_03_merge_order_is_irrelevant_and_revoked_wins",
            ),
        ),
        Statement(
            number="V3",
            says="The connection is one that the app owns.",
            rules=("request.ownership", "#sdk-app", "#coordinate"),
            code=("rules.credentials:Caller", "service.decide:decide"),
            tests=(
                "rules/test_credentials::test_ownership_needs_same_app_account_and_environment",
                "web/test_respond::test_law_15_another_apps_id_and_unknown_id_get_equal_bytes",
            ),
        ),
        Statement(
            number="V4",
            says="It ends the access that the connection authorized.",
            rules=(
                "#revoke-ends-access",
                "access.revoked",
                "access.active",
                "connection.revoke.active",
                "connection.revoke.action-required",
                "ending.active",
            ),
            code=("rules.access:decide_access", "service.effects:AccessEnded"),
            tests=(
                "rules/test_access::test_revocation_by_any_actor_denies_access",
                "rules/test_access::test_law_05_access_needs_active_status_and_a_granted_package",
                "rules/test_triggers::test_effect_of_a_revoke_in_each_status_matches_ending_table",
            ),
        ),
        Statement(
            number="V5",
            says="What enforces it inside is not shown on the public API.",
            rules=("#no-enforcement-artefact",),
            code=("web.respond:respond", "service.changes:Changes"),
            tests=(
                "web/test_respond::test_law_13_responses_contain_no_internal_id_or_name",
                "web/test_events::test_events_contain_no_url_no_api_key_and_no_user_id",
            ),
        ),
    ),
)

INITIATE: Final = Part(
    "Initiate",
    (
        Statement(
            number="I1",
            says="There is an operation that begins a session of the entry flow; its method is POST.",
            rules=("operation.initiate", "#connect-session"),
            code=("service.operations.initiate:Initiate",),
            tests=(
                "web/test_read::test_each_path_maps_to_its_operation_and_success_http_status",
                "service/operations/test_whole_decisions::test_initiate_decision_writes_session_binding_and_rate_limit",
            ),
            names=("initiate", "POST"),
        ),
        Statement(
            number="I2",
            says="It selects one of three paths, A, B and C.",
            rules=("#path-a", "#path-b", "#path-c"),
            code=("rules.session:EntryPath", "rules.session:ENTRY_PATHS"),
            tests=("rules/test_session::test_initiate_in_each_case_matches_the_entry_path_table",),
            names=("Path A", "Path B", "Path C"),
        ),
        Statement(
            number="I3",
            says="Each call mints a new session.",
            rules=("#new-session", "#connect-session"),
            code=("rules.session:CuraeConnectSession", "rules.session:initiate"),
            tests=(
                "service/operations/test_decisions::test_initiate_creates_a_session_and_binds_a_user_if_needed",
                "stores/test_new_ids::test_new_ids_and_hosted_page_urls_never_repeat",
            ),
            names=("CuraeConnectSession",),
        ),
        Statement(
            number="I4",
            says="The session is of one user of an app: customer account and app user together.",
            rules=("#coordinate", "#sdk-app"),
            code=("rules.values:Coordinate", "rules.credentials:Caller"),
            tests=(
                "rules/test_credentials::test_caller_coordinate_has_its_app_account_and_environment",
                "web/test_wire_format::test_session_json_has_no_user_id",
            ),
            names=("customerAccountId", "appUserId"),
        ),
        Statement(
            number="I5",
            says="The same always selects the same path.",
            rules=("#path-a", "#path-b", "#path-c", "#path-else"),
            code=("rules.session:ENTRY_PATHS",),
            tests=(
                "rules/test_session::test_law_08_entry_path_depends_only_on_state_and_preference",
            ),
        ),
        Statement(
            number="I6",
            says="It is selected by the binding of the coordinate.",
            rules=("#limited-account-app-binding",),
            code=("rules.binding:LimitedAccountAppBinding", "rules.binding:account_state"),
            tests=(
                "rules/test_binding::test_account_state_is_that_of_the_binding_or_unlinked",
                "rules/test_session::test_initiate_in_each_case_matches_the_entry_path_table",
            ),
            names=("LimitedAccountAppBinding",),
        ),
        Statement(
            number="I7",
            says="Where there is an active user it is Path A.",
            rules=("entry-path.active", "#path-a"),
            code=("rules.session:ENTRY_PATHS", "rules.session:PATH_A"),
            tests=(
                "service/operations/test_decisions::test_initiate_creates_a_session_and_binds_a_user_if_needed",
                "rules/test_session::test_complete_handoff_in_each_case_matches_the_table",
            ),
            names=("Path A", "EXISTING_ACTIVE_HANDOFF", "ACTIVE"),
        ),
        Statement(
            number="I8",
            says="There the hand-off lands in the same transaction.",
            rules=("entry-path.active", "#path-a"),
            code=("rules.session:initiate", "service.changes:initiation_changes"),
            tests=(
                "service/operations/test_decisions::test_initiate_creates_a_session_and_binds_a_user_if_needed",
            ),
        ),
        Statement(
            number="I9",
            says="Where nobody is bound and a sign-up is preferred it is Path B.",
            rules=("entry-path.unlinked.sign-up", "#path-b"),
            code=(
                "rules.session:ENTRY_PATHS",
                "rules.session:PATH_B",
                "service.members:PREFER_SIGNUP",
            ),
            tests=(
                "service/operations/test_decisions::test_initiate_creates_a_session_and_binds_a_user_if_needed",
                "service/test_members::test_malformed_body_is_refused_with_member_and_fault",
            ),
            names=("Path B", "NEW_ACTIVE_SIGNUP_HANDOFF", "preferSignup"),
        ),
        Statement(
            number="I10",
            says="Path B needs completeHandoff.",
            rules=(
                "completion.waiting",
                "binding.complete-sign-up.unlinked",
                "problem.handoff-not-required",
                "#path-b",
            ),
            code=("rules.session:complete_handoff", "rules.session:COMPLETION"),
            tests=(
                "rules/test_session::test_complete_handoff_in_each_case_matches_the_table",
                "rules/test_session::test_handoff_of_a_session_is_completed_at_most_once",
            ),
            names=("completeHandoff",),
        ),
        Statement(
            number="I11",
            says="Everywhere else it is Path C.",
            rules=(
                "entry-path.unlinked.silent",
                "entry-path.limited.sign-up",
                "entry-path.limited.silent",
                "#path-c",
                "#path-else",
            ),
            code=(
                "rules.session:ENTRY_PATHS",
                "rules.session:PATH_C_NEW",
                "rules.session:PATH_C_REUSED",
            ),
            tests=(
                "service/operations/test_decisions::test_initiate_creates_a_session_and_binds_a_user_if_needed",
                "rules/test_session::test_initiate_in_each_case_matches_the_entry_path_table",
            ),
            names=("Path C", "SILENT_LIMITED"),
        ),
        Statement(
            number="I12",
            says="Path C takes the LIMITED user that there is, or makes one.",
            rules=(
                "binding.provision.limited",
                "binding.provision.unlinked",
                "#path-c-user",
                "#path-else-user",
            ),
            code=("rules.binding:provision", "service.effects:UserProvisioned"),
            tests=(
                "rules/test_session::test_initiate_returns_the_rules_that_decided_it",
                "rules/test_session::test_initiate_of_a_limited_user_returns_the_given_binding",
                "rules/test_binding::test_each_trigger_moves_a_binding_as_the_table_says",
            ),
            names=("LIMITED",),
        ),
        Statement(
            number="I13",
            says="The scope connection:write is required.",
            rules=(
                "request.permission",
                "permission.granted",
                "permission.scope-missing",
                "problem.scope-insufficient",
                "#connection-write",
            ),
            code=("rules.credentials:CONNECTION_WRITE", "rules.credentials:check_permission"),
            tests=(
                "rules/test_credentials::test_permission_by_environment_and_scope_matches_the_table",
                "rules/test_credentials::test_scope_needed_by_mutations_is_connection_write",
            ),
            names=("connection:write",),
        ),
        Statement(
            number="I14",
            says="The header Idempotency-Key is required.",
            rules=("request.key-required", "#key-needed"),
            code=("service.operations.operation:KeyUse", "web.read:read"),
            tests=("service/test_gates::test_parsing_and_deciding_run_the_gates_in_table_order",),
            names=("Idempotency-Key",),
        ),
        Statement(
            number="I15",
            says="A retry gets the first answer again, word for word.",
            rules=("#replay-verbatim", "idempotency.completed.same", "request.idempotency"),
            code=("rules.idempotency:KnownResponse", "web.respond:respond"),
            tests=(
                "web/test_respond::test_law_09_replay_is_byte_identical_and_changes_no_data",
                "rules/test_idempotency::test_replay_returns_the_stored_response_unchanged",
            ),
        ),
        Statement(
            number="I16",
            says="Ten requests a minute are the most for one customer account and app user.",
            rules=("request.limit", "#ten-a-minute"),
            code=("rules.ratelimit:INITIATE_LIMIT", "rules.ratelimit:admit"),
            tests=(
                "rules/test_ratelimit::test_law_10_any_60_seconds_admit_at_most_10_initiates",
                "rules/test_ratelimit::test_app_user_limits_are_ten_a_minute",
                "rules/test_values::test_app_user_of_a_coordinate_has_no_app_id",
            ),
            names=("10", "minute"),
        ),
        Statement(
            number="I17",
            says="That limit comes on top of the platform's standard buckets.",
            rules=("request.buckets", "#standard-buckets"),
            code=("rules.ratelimit:Bucket", "service.settings:Settings"),
            tests=(
                "service/test_gates::test_429_of_spent_bucket_and_user_limit_names_the_bucket",
                "service/operations/test_whole_decisions::test_empty_bucket_gets_429_and_writes_nothing",
            ),
        ),
        Statement(
            number="I18",
            says="How large the standard buckets are.",
            not_ours="The reference does not say it: a server gives their sizes in its settings.",
        ),
    ),
)
