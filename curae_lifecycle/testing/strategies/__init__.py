"""Hypothesis strategies for the library's values.

The law of this package: **the rules can reach every drawn value**. The library's own transitions
made the value, its parsers accept it, or a table holds it. Only `broken_arguments`,
`broken_documents`, `broken_logs` and `broken_requests` draw invalid values. Each such value names
its defect and, for a request or a log, the expected error. `problems` is the exception: it combines
the details of a problem freely.

A history is drawn as a list of independent moves and played in time order. A counterexample
therefore shrinks to the few moves that matter.

Most histories last at most three hours from `START`. Their instants crowd around the deadlines: one
minute (a lease or a rate window), half an hour (a hand-off), an hour and an hour and a half (an
authorization). The microsecond before each of these is drawn often, too. A history of an
idempotency record lasts up to 24 hours and one minute, because of the retention.
"""

from __future__ import annotations

from curae_lifecycle.testing.strategies.binding import CoordinateAct as CoordinateAct
from curae_lifecycle.testing.strategies.binding import CoordinateAnswer as CoordinateAnswer
from curae_lifecycle.testing.strategies.binding import CoordinateHistory as CoordinateHistory
from curae_lifecycle.testing.strategies.binding import CoordinateStep as CoordinateStep
from curae_lifecycle.testing.strategies.binding import bindings as bindings
from curae_lifecycle.testing.strategies.binding import coordinate_histories as coordinate_histories
from curae_lifecycle.testing.strategies.binding import sessions as sessions
from curae_lifecycle.testing.strategies.broken import BrokenArgument as BrokenArgument
from curae_lifecycle.testing.strategies.broken import BrokenDocument as BrokenDocument
from curae_lifecycle.testing.strategies.broken import BrokenRequest as BrokenRequest
from curae_lifecycle.testing.strategies.broken import broken_arguments as broken_arguments
from curae_lifecycle.testing.strategies.broken import broken_documents as broken_documents
from curae_lifecycle.testing.strategies.broken import broken_requests as broken_requests
from curae_lifecycle.testing.strategies.connection import ConnectionHistory as ConnectionHistory
from curae_lifecycle.testing.strategies.connection import ConnectionStep as ConnectionStep
from curae_lifecycle.testing.strategies.connection import apply_fact as apply_fact
from curae_lifecycle.testing.strategies.connection import chains as chains
from curae_lifecycle.testing.strategies.connection import (
    connection_histories as connection_histories,
)
from curae_lifecycle.testing.strategies.connection import connections as connections
from curae_lifecycle.testing.strategies.connection import facts_about as facts_about
from curae_lifecycle.testing.strategies.connection import new_connections as new_connections
from curae_lifecycle.testing.strategies.fields import FACT_STRATEGIES as FACT_STRATEGIES
from curae_lifecycle.testing.strategies.fields import facts as facts
from curae_lifecycle.testing.strategies.from_traffic import FINAL_STEPS as FINAL_STEPS
from curae_lifecycle.testing.strategies.from_traffic import done_facts as done_facts
from curae_lifecycle.testing.strategies.from_traffic import effects as effects
from curae_lifecycle.testing.strategies.from_traffic import ignored_facts as ignored_facts
from curae_lifecycle.testing.strategies.from_traffic import outbox_events as outbox_events
from curae_lifecycle.testing.strategies.from_traffic import rate_keys as rate_keys
from curae_lifecycle.testing.strategies.from_traffic import replies as replies
from curae_lifecycle.testing.strategies.from_traffic import (
    values_from_traffic as values_from_traffic,
)
from curae_lifecycle.testing.strategies.from_traffic import writes as writes
from curae_lifecycle.testing.strategies.limit import admissions as admissions
from curae_lifecycle.testing.strategies.limit import bucket_states as bucket_states
from curae_lifecycle.testing.strategies.limit import buckets as buckets
from curae_lifecycle.testing.strategies.limit import charges as charges
from curae_lifecycle.testing.strategies.limit import exact_logs as exact_logs
from curae_lifecycle.testing.strategies.limit import limit_refusals as limit_refusals
from curae_lifecycle.testing.strategies.limit import limits_left as limits_left
from curae_lifecycle.testing.strategies.limit import log_states as log_states
from curae_lifecycle.testing.strategies.limit import policies as policies
from curae_lifecycle.testing.strategies.log import BrokenLog as BrokenLog
from curae_lifecycle.testing.strategies.log import Log as Log
from curae_lifecycle.testing.strategies.log import broken_logs as broken_logs
from curae_lifecycle.testing.strategies.log import format_log as format_log
from curae_lifecycle.testing.strategies.log import logs as logs
from curae_lifecycle.testing.strategies.outcome import access_decisions as access_decisions
from curae_lifecycle.testing.strategies.outcome import connection_views as connection_views
from curae_lifecycle.testing.strategies.outcome import denials as denials
from curae_lifecycle.testing.strategies.outcome import done_transitions as done_transitions
from curae_lifecycle.testing.strategies.outcome import grants as grants
from curae_lifecycle.testing.strategies.outcome import ignored_transitions as ignored_transitions
from curae_lifecycle.testing.strategies.outcome import initiations as initiations
from curae_lifecycle.testing.strategies.outcome import landings as landings
from curae_lifecycle.testing.strategies.outcome import lost_leases as lost_leases
from curae_lifecycle.testing.strategies.outcome import minted as minted
from curae_lifecycle.testing.strategies.outcome import notices as notices
from curae_lifecycle.testing.strategies.outcome import problems as problems
from curae_lifecycle.testing.strategies.outcome import recoveries as recoveries
from curae_lifecycle.testing.strategies.outcome import refused_transitions as refused_transitions
from curae_lifecycle.testing.strategies.outcome import reissued as reissued
from curae_lifecycle.testing.strategies.outcome import replays as replays
from curae_lifecycle.testing.strategies.outcome import transitions as transitions
from curae_lifecycle.testing.strategies.outcome import trigger_previews as trigger_previews
from curae_lifecycle.testing.strategies.record import RecordAct as RecordAct
from curae_lifecycle.testing.strategies.record import RecordAnswer as RecordAnswer
from curae_lifecycle.testing.strategies.record import RecordHistory as RecordHistory
from curae_lifecycle.testing.strategies.record import RecordStep as RecordStep
from curae_lifecycle.testing.strategies.record import attempts as attempts
from curae_lifecycle.testing.strategies.record import fingerprints as fingerprints
from curae_lifecycle.testing.strategies.record import record_histories as record_histories
from curae_lifecycle.testing.strategies.record import record_keys as record_keys
from curae_lifecycle.testing.strategies.record import records as records
from curae_lifecycle.testing.strategies.record import records_in_standing as records_in_standing
from curae_lifecycle.testing.strategies.record import response_references as response_references
from curae_lifecycle.testing.strategies.record import responses as responses
from curae_lifecycle.testing.strategies.registry import register as register
from curae_lifecycle.testing.strategies.request import OPERATION_STRATEGIES as OPERATION_STRATEGIES
from curae_lifecycle.testing.strategies.request import callers as callers
from curae_lifecycle.testing.strategies.request import (
    callers_with_write_scope as callers_with_write_scope,
)
from curae_lifecycle.testing.strategies.request import calls as calls
from curae_lifecycle.testing.strategies.request import entity_tags as entity_tags
from curae_lifecycle.testing.strategies.request import format_request as format_request
from curae_lifecycle.testing.strategies.request import members as members
from curae_lifecycle.testing.strategies.request import new_ids as new_ids
from curae_lifecycle.testing.strategies.request import operations as operations
from curae_lifecycle.testing.strategies.request import parsed_bodies as parsed_bodies
from curae_lifecycle.testing.strategies.request import parsed_members as parsed_members
from curae_lifecycle.testing.strategies.request import requests as requests
from curae_lifecycle.testing.strategies.request import scopes as scopes
from curae_lifecycle.testing.strategies.request import server_settings as server_settings
from curae_lifecycle.testing.strategies.traffic import CALLERS as CALLERS
from curae_lifecycle.testing.strategies.traffic import AccessQuestion as AccessQuestion
from curae_lifecycle.testing.strategies.traffic import Exchange as Exchange
from curae_lifecycle.testing.strategies.traffic import Interaction as Interaction
from curae_lifecycle.testing.strategies.traffic import RecordedFact as RecordedFact
from curae_lifecycle.testing.strategies.traffic import Traffic as Traffic
from curae_lifecycle.testing.strategies.traffic import exchanges as exchanges
from curae_lifecycle.testing.strategies.traffic import traffic_runs as traffic_runs
from curae_lifecycle.testing.strategies.values import NEXT_ACTION_LIFETIME as NEXT_ACTION_LIFETIME
from curae_lifecycle.testing.strategies.values import START as START
from curae_lifecycle.testing.strategies.values import TICK as TICK
from curae_lifecycle.testing.strategies.values import api_key_ids as api_key_ids
from curae_lifecycle.testing.strategies.values import api_keys as api_keys
from curae_lifecycle.testing.strategies.values import app_ids as app_ids
from curae_lifecycle.testing.strategies.values import app_user_ids as app_user_ids
from curae_lifecycle.testing.strategies.values import app_users as app_users
from curae_lifecycle.testing.strategies.values import connection_ids as connection_ids
from curae_lifecycle.testing.strategies.values import coordinates as coordinates
from curae_lifecycle.testing.strategies.values import customer_account_ids as customer_account_ids
from curae_lifecycle.testing.strategies.values import data_package as data_package
from curae_lifecycle.testing.strategies.values import data_packages as data_packages
from curae_lifecycle.testing.strategies.values import environments as environments
from curae_lifecycle.testing.strategies.values import idempotency_keys as idempotency_keys
from curae_lifecycle.testing.strategies.values import instants as instants
from curae_lifecycle.testing.strategies.values import key_owners as key_owners
from curae_lifecycle.testing.strategies.values import next_actions as next_actions
from curae_lifecycle.testing.strategies.values import offsets as offsets
from curae_lifecycle.testing.strategies.values import reasons as reasons
from curae_lifecycle.testing.strategies.values import session_ids as session_ids
from curae_lifecycle.testing.strategies.values import user_ids as user_ids
from curae_lifecycle.testing.strategies.values import uuids as uuids
