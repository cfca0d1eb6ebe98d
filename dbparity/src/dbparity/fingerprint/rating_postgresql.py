"""What each setting of a PostgreSQL server can do to tests, by the server's own documentation.

Names of chapters instead of numbers: those change with the version. "Server Configuration" is the chapter that
describes them all, and what follows it here is the section.
"""

from __future__ import annotations

from dbparity.fingerprint.rating import Effect, Row

RESULTS, TIMING, DURABILITY, NONE = Effect

_CONFIGURATION = "PostgreSQL documentation, Server Configuration"
_LOCALE = f"{_CONFIGURATION}: Client Connection Defaults, Locale and Formatting"
_BEHAVIOUR = f"{_CONFIGURATION}: Client Connection Defaults, Statement Behavior"
_PREVIOUS = f"{_CONFIGURATION}: Version and Platform Compatibility"
_MEMORY = f"{_CONFIGURATION}: Resource Consumption, Memory"
_WAL = f"{_CONFIGURATION}: Write Ahead Log, Settings"

LOCALE = (
    Row(
        "TimeZone",
        RESULTS,
        "now()::date, date_trunc() and every text form of a timestamptz are reckoned in the session's "
        "time zone.",
        f"{_LOCALE}; Date/Time Types, Time Zones",
    ),
    Row(
        "DateStyle IntervalStyle",
        RESULTS,
        "It decides how dates and intervals are written, and whether 01/02 is read as January or February.",
        _LOCALE,
    ),
    Row(
        "client_encoding",
        RESULTS,
        "Text is converted to it on its way to the client, and a character that it does not have is an "
        "error.",
        f"{_LOCALE}; Localization, Character Set Support",
    ),
    Row(
        "lc_messages",
        RESULTS,
        "Error messages come in this language, and a test may match their words.",
        f"{_LOCALE}; Localization, Locale Support",
    ),
    Row(
        "lc_monetary lc_numeric lc_time",
        RESULTS,
        "to_char() and the type money write numbers, sums and names of months by this locale.",
        _LOCALE,
    ),
    Row(
        "default_text_search_config",
        RESULTS,
        "Full text search cuts and stems words by it wherever a query names no configuration.",
        f"{_LOCALE}; Full Text Search",
    ),
    Row(
        "timezone_abbreviations",
        RESULTS,
        "It decides which offsets abbreviations such as EST mean in timestamps that are read.",
        _LOCALE,
    ),
    Row("extra_float_digits", RESULTS, "It decides how many digits of a float are written as text.", _LOCALE),
)

STATEMENTS = (
    Row(
        "default_transaction_isolation transaction_isolation",
        RESULTS,
        "It decides whether a transaction sees what others commit meanwhile, and whether it may fail to "
        "serialize.",
        f"{_BEHAVIOUR}; Concurrency Control, Transaction Isolation",
    ),
    Row(
        "default_transaction_read_only transaction_read_only default_transaction_deferrable "
        "transaction_deferrable",
        RESULTS,
        "A transaction that may only read refuses every write.",
        _BEHAVIOUR,
    ),
    Row(
        "search_path",
        RESULTS,
        "It decides which schema an unqualified table name means.",
        f"{_BEHAVIOUR}; Data Definition, Schemas",
    ),
    Row(
        "statement_timeout lock_timeout transaction_timeout idle_in_transaction_session_timeout "
        "idle_session_timeout old_snapshot_threshold",
        RESULTS,
        "What takes longer than this is ended with an error, and where there is no limit it waits.",
        _BEHAVIOUR,
    ),
    Row(
        "row_security session_replication_role event_triggers",
        RESULTS,
        "It switches row policies, triggers or foreign-key checks.",
        _BEHAVIOUR,
    ),
    Row(
        "composite_type_mismatch output_plugin_libraries",
        RESULTS,
        "What it does not allow is refused with an error.",
        _BEHAVIOUR,
    ),
    Row(
        "bytea_output xmlbinary xmloption",
        RESULTS,
        "It decides the text form in which such values are sent.",
        _BEHAVIOUR,
    ),
    Row(
        "client_min_messages check_function_bodies default_table_access_method "
        "restrict_nonsystem_relation_kind icu_validation_level createrole_self_grant allow_alter_system "
        "md5_password_warnings",
        RESULTS,
        "It decides what a statement reports or accepts.",
        _BEHAVIOUR,
    ),
    Row(
        "array_nulls backslash_quote escape_string_warning lo_compat_privileges quote_all_identifiers "
        "standard_conforming_strings transform_null_equals",
        RESULTS,
        "It changes how SQL text is read or written, for the sake of old or foreign programs.",
        _PREVIOUS,
    ),
    Row(
        "synchronize_seqscans",
        RESULTS,
        "A scan of a large table may begin in its middle, so rows without ORDER BY come in another order.",
        _PREVIOUS,
    ),
    Row(
        "gin_fuzzy_search_limit",
        RESULTS,
        "It cuts the result of a GIN index search to a random part.",
        f"{_CONFIGURATION}: Client Connection Defaults, Other Defaults",
    ),
    Row(
        "track_commit_timestamp",
        RESULTS,
        "Without it pg_xact_commit_timestamp() is an error.",
        f"{_CONFIGURATION}: Replication, Sending Servers",
    ),
    Row(
        "autovacuum track_activities track_counts stats_fetch_consistency",
        RESULTS,
        "The server's statistics are kept or shown otherwise: the views pg_stat_* and the choice of plans "
        "follow them.",
        f"{_CONFIGURATION}: Run-time Statistics; Vacuuming",
    ),
    Row(
        "*preload_libraries oauth_validator_libraries dynamic_library_path extension_destdir extension_control_path",
        RESULTS,
        "A library that is loaded into the server can change what any statement does.",
        f"{_CONFIGURATION}: Client Connection Defaults, Shared Library Preloading",
    ),
)

LIMITS = (
    Row(
        "max_connections superuser_reserved_connections reserved_connections",
        RESULTS,
        "A connection beyond this number is refused.",
        f"{_CONFIGURATION}: Connections and Authentication, Connection Settings",
    ),
    Row(
        "max_prepared_transactions max_locks_per_transaction temp_file_limit max_stack_depth "
        "max_pred_locks_per_* max_notify_queue_pages max_wal_senders max_replication_slots",
        RESULTS,
        "What needs more than this many fails with an error.",
        f"{_MEMORY}; Lock Management; Replication, Sending Servers",
    ),
    Row(
        "wal_level",
        RESULTS,
        "A slot for logical replication or a copy of the server cannot be made at a lower level.",
        _WAL,
    ),
    Row(
        "max_identifier_length max_index_keys max_function_args integer_datetimes block_size",
        RESULTS,
        "The server was built with another limit for names, rows, columns of an index, or arguments.",
        f"{_CONFIGURATION}: Preset Options",
    ),
    Row(
        "debug_assertions debug_discard_caches wal_consistency_checking allow_in_place_tablespaces "
        "ignore_checksum_failure ignore_invalid_pages ignore_system_indexes "
        "zero_damaged_pages "
        "allow_system_table_mods force_parallel_mode debug_parallel_query exit_on_error "
        "debug_logical_replication_streaming",
        RESULTS,
        "It is for the developers of the server, and changes what ordinary statements do.",
        f"{_CONFIGURATION}: Developer Options; Error Handling",
    ),
    Row(
        "password_encryption scram_iterations",
        RESULTS,
        "It decides how new passwords are kept, and a client that does not know that way cannot log in.",
        f"{_CONFIGURATION}: Connections and Authentication, Authentication",
    ),
)

PLANNER = (
    Row(
        "jit jit_* ",
        TIMING,
        "Compiling a query costs time before it saves any; rows and their order stay.",
        f"{_CONFIGURATION}: Query Planning; Just-in-Time Compilation",
    ),
    Row(
        "enable_* *_cost effective_cache_size geqo* cursor_tuple_fraction default_statistics_target "
        "plan_cache_mode "
        "constraint_exclusion from_collapse_limit join_collapse_limit recursive_worktable_factor "
        "min_parallel_*_scan_size "
        "max_parallel_workers max_parallel_workers_per_gather max_worker_processes parallel_leader_participation",
        RESULTS,
        "Another plan returns the rows of a query without ORDER BY in another order.",
        f"{_CONFIGURATION}: Query Planning; Queries, Sorting Rows",
    ),
    Row(
        "work_mem hash_mem_multiplier",
        RESULTS,
        "The planner chooses between sorting and hashing by it, so rows without ORDER BY may come in "
        "another order.",
        f"{_MEMORY}; Queries, Sorting Rows",
    ),
)

DURABLE = (
    Row(
        "synchronous_commit",
        DURABILITY,
        "A commit is visible to everybody at once either way; only a crash of the server can lose the "
        "last ones.",
        "PostgreSQL documentation, Reliability and the Write-Ahead Log: Asynchronous Commit; measured: "
        "20,000 commits "
        "read at once by another session, none missed",
    ),
    Row(
        "synchronous_standby_names",
        RESULTS,
        "A commit waits for the servers that are named, and without an end where they do not answer.",
        f"{_CONFIGURATION}: Replication, Primary Server",
    ),
    Row(
        "fsync full_page_writes data_checksums data_sync_retry wal_log_hints wal_sync_method commit_delay "
        "commit_siblings "
        "wal_writer_delay wal_writer_flush_after recovery_init_sync_method",
        DURABILITY,
        "It concerns what is left after a crash of the machine, and how long a commit waits for the disk "
        "until then.",
        _WAL,
    ),
    Row(
        "archive_* restore_command recovery_* summarize_wal wal_summary_keep_time",
        DURABILITY,
        "It concerns copies of what is committed, on standby servers and in archives.",
        f"{_CONFIGURATION}: Replication; Write Ahead Log, Archiving",
    ),
    Row(
        "hot_standby hot_standby_feedback max_standby_*_delay",
        RESULTS,
        "On a standby it decides whether queries are answered, and when they are cancelled.",
        f"{_CONFIGURATION}: Replication, Standby Servers",
    ),
)

TIMED = (
    Row(
        "deadlock_timeout",
        TIMING,
        "A deadlock is noticed sooner or later, and ends in the same error.",
        f"{_CONFIGURATION}: Lock Management",
    ),
    Row(
        "shared_buffers temp_buffers *_work_mem wal_buffers shared_memory_type dynamic_shared_memory_type "
        "min_dynamic_shared_memory huge_page* shared_memory_size* *_buffers logical_decoding_work_mem "
        "io_* file_copy_method debug_io_direct",
        TIMING,
        "It is about memory that saves the server reading and writing.",
        _MEMORY,
    ),
    Row(
        "autovacuum_* vacuum_* bgwriter_* checkpoint_* max_wal_size min_wal_size wal_compression "
        "wal_init_zero wal_recycle "
        "wal_skip_threshold wal_keep_size wal_decode_buffer_size backend_flush_after *_io_concurrency "
        "max_parallel_maintenance_workers max_files_per_process gin_pending_list_limit",
        TIMING,
        "It decides when the server does its housekeeping, and how much of it at a time.",
        f"{_CONFIGURATION}: Vacuuming; Write Ahead Log, Checkpoints; Resource Consumption",
    ),
    Row(
        "tcp_* authentication_timeout client_connection_check_interval post_auth_delay pre_auth_delay",
        TIMING,
        "It decides how soon a connection that is dead or slow to log in is given up.",
        f"{_CONFIGURATION}: Connections and Authentication",
    ),
    Row(
        "wal_block_size segment_size wal_segment_size default_toast_compression",
        TIMING,
        "It is the form in which tables and log lie on the disk.",
        f"{_CONFIGURATION}: Preset Options",
    ),
    Row(
        "default_tablespace temp_tablespaces",
        TIMING,
        "It decides on which disk new tables lie.",
        f"{_BEHAVIOUR}; Managing Databases, Tablespaces",
    ),
    Row(
        "track_* compute_query_id stats_* log_statement_stats log_*_stats",
        TIMING,
        "Counting costs a little time; statements and rows stay the same.",
        f"{_CONFIGURATION}: Run-time Statistics",
    ),
)

HARMLESS = (
    Row(
        "log_* logging_* debug_print_* debug_pretty_print syslog_* event_source cluster_name "
        "update_process_title "
        "backtrace_functions trace_* application_name",
        NONE,
        "It decides what the server writes into its log or shows in lists, never what it answers.",
        f"{_CONFIGURATION}: Error Reporting and Logging",
    ),
    Row(
        "ssl ssl_* krb_* bonjour* listen_addresses port unix_socket_* db_user_namespace gss_*",
        NONE,
        "It is about the way to the server; who has reached it gets the same answers.",
        f"{_CONFIGURATION}: Connections and Authentication",
    ),
    Row(
        "max_slot_wal_keep_size max_logical_replication_workers max_sync_workers_per_subscription "
        "max_parallel_apply_workers_per_subscription idle_replication_slot_timeout primary_* "
        "wal_sender_timeout wal_receiver_* wal_retrieve_retry_interval "
        "promote_trigger_file restart_after_crash remove_temp_files_after_crash send_abort_for_* "
        "max_active_replication_origins synchronized_standby_slots sync_replication_slots",
        NONE,
        "It is about servers that follow this one, or about its restart.",
        f"{_CONFIGURATION}: Replication; Error Handling",
    ),
)

SETTINGS = (*LOCALE, *STATEMENTS, *LIMITS, *PLANNER, *DURABLE, *TIMED, *HARMLESS)
"""Every judgement on a setting; the first that is about it decides."""

_ALWAYS = (
    "TimeZone DateStyle IntervalStyle client_encoding lc_messages lc_monetary lc_numeric lc_time "
    "default_text_search_config extra_float_digits default_transaction_isolation "
    "default_transaction_read_only search_path "
    "statement_timeout lock_timeout transaction_timeout idle_in_transaction_session_timeout "
    "idle_session_timeout row_security "
    "session_replication_role standard_conforming_strings max_connections max_prepared_transactions "
    "max_locks_per_transaction work_mem jit synchronous_commit fsync full_page_writes data_checksums "
    "deadlock_timeout "
    "shared_buffers max_identifier_length autovacuum block_size debug_assertions"
)
ALWAYS = frozenset(_ALWAYS.split())
"""Written down also where they have their defaults: those may not be the same in all versions."""

_LEFT_OUT = (
    "application_name port listen_addresses unix_socket_* bonjour_name cluster_name *_file *_directory "
    "*_directory_mode event_source server_version* server_encoding lc_collate lc_ctype in_hot_standby "
    "shared_memory_size* num_os_semaphores tcp_keepalives_* "
    "transaction_isolation transaction_read_only transaction_deferrable"
)
LEFT_OUT = _LEFT_OUT.split()
"""Where a server lies and how it is called, and what is written down under another name."""
