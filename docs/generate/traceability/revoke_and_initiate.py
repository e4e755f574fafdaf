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
                "web/test_read::test_each_path_is_its_operation_with_its_status_of_success",
                "service/operations/test_exact::test_a_revoke_is_answered_exactly",
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
                "rules/test_triggers::test_law_01_the_stored_rank_of_one_id_never_falls",
                "rules/test_triggers::test_law_02_revoked_now_is_true_exactly_once_and_the_first_revoked_at_stands",
                "rules/test_merge::test_law_03_merge_is_commutative_associative_and_idempotent_and_revoked_absorbs",
            ),
        ),
        Statement(
            number="V3",
            says="The connection is one that the app owns.",
            rules=("request.ownership", "#sdk-app", "#coordinate"),
            code=("rules.credentials:Caller", "service.decide:decide"),
            tests=(
                "rules/test_credentials::test_a_connection_is_owned_by_app_account_and_environment",
                "web/test_respond::test_law_15_another_tenant_s_id_and_an_unknown_one_are_answered_byte_for_byte_alike",
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
                "rules/test_access::test_access_ends_with_a_revocation_whoever_revokes",
                "rules/test_access::test_law_05_access_implies_active_a_granted_package_and_before_valid_until",
                "rules/test_triggers::test_what_ends_is_what_the_status_before_had",
            ),
        ),
        Statement(
            number="V5",
            says="What enforces it inside is not shown on the public API.",
            rules=("#no-enforcement-artefact",),
            code=("web.respond:respond", "service.changes:Changes"),
            tests=(
                "web/test_respond::test_law_13_nothing_internal_is_on_the_wire",
                "web/test_events::test_nothing_internal_leaves_with_an_event",
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
                "web/test_read::test_each_path_is_its_operation_with_its_status_of_success",
                "service/operations/test_exact::test_an_initiate_is_answered_exactly",
            ),
            names=("initiate", "POST"),
        ),
        Statement(
            number="I2",
            says="It selects one of three paths, A, B and C.",
            rules=("#path-a", "#path-b", "#path-c"),
            code=("rules.session:EntryPath", "rules.session:ENTRY_PATHS"),
            tests=("rules/test_session::test_a_session_takes_the_path_that_the_table_says",),
            names=("Path A", "Path B", "Path C"),
        ),
        Statement(
            number="I3",
            says="Each call mints a new session.",
            rules=("#new-session", "#connect-session"),
            code=("rules.session:CuraeConnectSession", "rules.session:initiate"),
            tests=(
                "service/operations/test_decisions::test_initiate_mints_a_session_and_binds_whom_it_provisions",
                "stores/test_new_ids::test_nothing_is_drawn_twice",
            ),
            names=("CuraeConnectSession",),
        ),
        Statement(
            number="I4",
            says="The session is of one user of an app: customer account and app user together.",
            rules=("#coordinate", "#sdk-app"),
            code=("rules.values:Coordinate", "rules.credentials:Caller"),
            tests=(
                "rules/test_credentials::test_a_caller_names_coordinates_within_its_own_app_account_and_environment",
                "web/test_wire_format::test_a_session_is_printed_without_the_user",
            ),
            names=("customerAccountId", "appUserId"),
        ),
        Statement(
            number="I5",
            says="The same always selects the same path.",
            rules=("#path-a", "#path-b", "#path-c", "#path-else"),
            code=("rules.session:ENTRY_PATHS",),
            tests=(
                "rules/test_session::test_law_08_path_selection_is_total_and_a_function_of_account_state_and_preference_alone",
            ),
        ),
        Statement(
            number="I6",
            says="It is selected by the binding of the coordinate.",
            rules=("#limited-account-app-binding",),
            code=("rules.binding:LimitedAccountAppBinding", "rules.binding:account_state"),
            tests=(
                "rules/test_binding::test_the_account_state_is_the_bindings_or_unlinked",
                "rules/test_session::test_a_session_takes_the_path_that_the_table_says",
            ),
            names=("LimitedAccountAppBinding",),
        ),
        Statement(
            number="I7",
            says="Where there is an active user it is Path A.",
            rules=("entry-path.active", "#path-a"),
            code=("rules.session:ENTRY_PATHS", "rules.session:PATH_A"),
            tests=(
                "service/operations/test_decisions::test_initiate_mints_a_session_and_binds_whom_it_provisions",
                "rules/test_session::test_completing_a_hand_off_answers_what_the_spec_says",
            ),
            names=("Path A", "EXISTING_ACTIVE_HANDOFF", "ACTIVE"),
        ),
        Statement(
            number="I8",
            says="There the hand-off lands in the same transaction.",
            rules=("entry-path.active", "#path-a"),
            code=("rules.session:initiate", "service.changes:initiation_changes"),
            tests=(
                "service/operations/test_decisions::test_initiate_mints_a_session_and_binds_whom_it_provisions",
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
                "service/operations/test_decisions::test_initiate_mints_a_session_and_binds_whom_it_provisions",
                "service/test_members::test_a_malformed_body_is_refused_by_its_member_and_fault",
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
                "rules/test_session::test_completing_a_hand_off_answers_what_the_spec_says",
                "rules/test_session::test_a_hand_off_lands_once",
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
                "service/operations/test_decisions::test_initiate_mints_a_session_and_binds_whom_it_provisions",
                "rules/test_session::test_a_session_takes_the_path_that_the_table_says",
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
                "rules/test_session::test_the_trail_names_the_path_and_the_provisioning",
                "rules/test_session::test_a_path_that_provisions_nobody_hands_back_the_very_same_binding",
                "rules/test_binding::test_every_cell_does_what_the_table_says",
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
                "rules/test_credentials::test_a_caller_may_run_what_the_table_says",
                "rules/test_credentials::test_every_mutation_has_the_same_scope",
            ),
            names=("connection:write",),
        ),
        Statement(
            number="I14",
            says="The header Idempotency-Key is required.",
            rules=("request.key-required", "#key-needed"),
            code=("service.operations.operation:KeyUse", "web.read:read"),
            tests=("service/test_gates::test_the_gates_are_passed_in_the_order_of_their_table",),
            names=("Idempotency-Key",),
        ),
        Statement(
            number="I15",
            says="A retry gets the first answer again, word for word.",
            rules=("#replay-verbatim", "idempotency.completed.same", "request.idempotency"),
            code=("rules.idempotency:KnownResponse", "web.respond:respond"),
            tests=(
                "web/test_respond::test_law_09_a_replay_is_the_original_byte_for_byte_and_costs_the_app_user_nothing",
                "rules/test_idempotency::test_a_replay_is_verbatim_and_beside_the_response",
            ),
        ),
        Statement(
            number="I16",
            says="Ten requests a minute are the most for one customer account and app user.",
            rules=("request.limit", "#ten-a-minute"),
            code=("rules.ratelimit:INITIATE_LIMIT", "rules.ratelimit:admit"),
            tests=(
                "rules/test_ratelimit::test_law_10_in_any_half_open_60_s_at_most_10_initiates_are_admitted",
                "rules/test_ratelimit::test_the_limits_of_an_app_user_are_ten_a_minute",
                "rules/test_values::test_an_app_user_is_counted_across_apps_but_not_across_environments",
            ),
            names=("10", "minute"),
        ),
        Statement(
            number="I17",
            says="That limit comes on top of the platform's standard buckets.",
            rules=("request.buckets", "#standard-buckets"),
            code=("rules.ratelimit:Bucket", "service.settings:Settings"),
            tests=(
                "service/test_gates::test_a_bucket_that_refuses_is_named_and_the_app_user_s_limit_is_not",
                "service/operations/test_exact::test_a_bucket_refuses_exactly",
            ),
        ),
        Statement(
            number="I18",
            says="How large the standard buckets are.",
            not_ours="The reference does not say it: a server gives their sizes in its settings.",
        ),
    ),
)
