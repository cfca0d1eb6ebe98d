"""What all other facts can do to tests: interpreter, machine, packages, databases, sessions, runs, variables."""

from __future__ import annotations

from dbparity.fingerprint.packages import Role
from dbparity.fingerprint.rating import Effect, Row

RESULTS, TIMING, DURABILITY, NONE = Effect

_SQLITE = "SQLite documentation, Pragma statements"
_SESSIONS = "SQLAlchemy documentation, Session API"
_POOLING = "SQLAlchemy documentation, Connection Pooling"
_ENGINES = "SQLAlchemy documentation, Engine Configuration"
_COMMAND_LINE = "Python documentation, Command line and environment"
_SILVA = "Silva et al. 2024 (arXiv 2310.12132): 283 of 608 flaky tests were affected by resources"
_GRUBER = "Gruber et al. 2021 (arXiv 2101.09077): 59 % of flaky Python tests depend on the order"

PYTHON = (
    Row("python/version python/implementation", RESULTS,
        "Another Python has other library code, and what it deprecates or mends can fail a test.",
        "Python documentation, What's New in Python"),
    Row("python/debug_build python/dev_mode", RESULTS,
        "It adds checks and warnings that are off otherwise.", f"{_COMMAND_LINE}: -X dev"),
    Row("python/optimize", RESULTS, "With -O no assert statement is executed.", f"{_COMMAND_LINE}: -O"),
    Row("python/free_threaded python/gil", RESULTS,
        "Without the global lock threads interleave within what was one step before.",
        "Python documentation, Python support for free threading"),
    Row("python/hash_seed python/hash_algorithm", RESULTS,
        "The order of sets of strings depends on it.", f"{_COMMAND_LINE}: PYTHONHASHSEED"),
    Row("python/utf8_mode process/encoding process/file_names", RESULTS,
        "Files and names are decoded by it wherever the code names no encoding.", f"{_COMMAND_LINE}: -X utf8"),
    Row("python/int_max_str_digits", RESULTS, "Longer numbers cannot be converted to or from text.",
        "Python documentation, Integer string conversion length limitation"),
    Row("process/time_zone process/utc_offset", RESULTS,
        "Local dates and naive datetimes are reckoned in the process's time zone.",
        "Python documentation, time: tzset, localtime"),
    Row("process/locale/*", RESULTS, "It decides how locale-aware code sorts, classifies and writes.",
        "Python documentation, locale"),
    Row("process/umask", RESULTS, "It decides the mode of every file that is made.",
        "Python documentation, os.umask"),
)  # fmt: skip

MACHINE = (
    Row("machine/system", RESULTS, "Another system has other paths, signals and sockets.",
        "Python documentation, os and sys.platform"),
    Row("machine/architecture", RESULTS,
        "Compiled packages are others, and the last digit of a float may be.",
        "Python documentation, Floating-Point Arithmetic"),
    Row("machine/libc", RESULTS, "Python sorts and formats by locale with the C library's tables.",
        "Python documentation, locale.strcoll"),
    Row("machine/open_files", RESULTS, "Beyond this number a file or a connection cannot be opened.",
        "Python documentation, resource.RLIMIT_NOFILE"),
    Row("machine/cpus machine/cpus_usable machine/cpu_limit", TIMING,
        "Fewer processors make waits longer and races likelier, and change no answer by themselves.", _SILVA),
    Row("machine/memory machine/memory_limit", TIMING,
        "Less memory makes a machine slow, until it ends a process.", _SILVA),
    Row("machine/release", TIMING, "The kernel schedules and writes otherwise.", _SILVA),
    Row("machine/temp_file_system", TIMING,
        "Databases in temporary folders are as quick as the disk, or the memory, that they lie on.",
        "SQLite documentation, How To Corrupt An SQLite Database File: file locking; " + _SILVA),
)  # fmt: skip

DATABASES = (
    Row("databases", RESULTS, "A whole database is tested in one of the two only.",
        "SQLAlchemy documentation, Dialects"),
    Row("databases/*/driver", RESULTS,
        "Drivers differ in the types that they return, in their errors, and in how they begin transactions.",
        "SQLAlchemy documentation, Dialects"),
    Row("databases/*/libpq", RESULTS, "The client library decides on defaults of the connection.",
        "PostgreSQL documentation, libpq"),
    Row("databases/*/url_options", RESULTS,
        "An option of the URL can set anything about the connection; only its name is written down.", _ENGINES),
    Row("databases/*/server_version databases/*/library", RESULTS,
        "Another version plans, casts and words its errors otherwise, and has other defects.",
        "PostgreSQL documentation, Release Notes; SQLite, Release History"),
    Row("databases/*/encoding", RESULTS,
        "It decides which characters can be kept, and how long a text is.",
        "PostgreSQL documentation, Localization: Character Set Support"),
    Row("databases/*/collation", RESULTS,
        "ORDER BY, comparisons and ranges of text follow the collation.",
        "PostgreSQL documentation, Localization: Collation Support"),
    Row("databases/*/ctype", RESULTS,
        "upper(), lower(), ILIKE and the classes of regular expressions follow it.",
        "PostgreSQL documentation, Localization: Collation Support"),
    Row("databases/*/collation_version", RESULTS,
        "Libraries change the order of text between versions, and an index made under another one may miss rows.",
        "PostgreSQL documentation, ALTER COLLATION: Notes"),
    Row("databases/*/server_time_zone", RESULTS,
        "Every connection that sets no time zone of its own takes the server's.",
        "PostgreSQL documentation, Date/Time Types: Time Zones"),
    Row("databases/*/extensions/*", RESULTS, "An extension brings functions, types and operators.",
        "PostgreSQL documentation, CREATE EXTENSION"),
    Row("databases/*/role/*", RESULTS,
        "Such a role is not bound by permissions or row policies, so tests see and do more than others may.",
        "PostgreSQL documentation, Database Roles: Role Attributes; Row Security Policies"),
    Row("databases/*/standby", RESULTS, "A standby refuses writes and lags behind.",
        "PostgreSQL documentation, High Availability: Hot Standby"),
    Row("databases/*/custom_settings", RESULTS,
        "ALTER DATABASE or ALTER ROLE sets a parameter of the application's own; its value is not written down.",
        "PostgreSQL documentation, Server Configuration: Setting Parameters"),
    Row("databases/*/schema/declared", RESULTS,
        "Models or migrations are not the same, so other tables are built.", "dbparity, docs/schema.md"),
    Row("databases/*/schema/live", RESULTS,
        "The tables that are really there are not the same.", "dbparity, docs/schema.md"),
    Row("databases/*/schema/revisions", RESULTS, "The databases claim other revisions.",
        "Alembic documentation, alembic current"),
    Row("*/pragmas/synchronous */pragmas/fullfsync */pragmas/checkpoint_fullfsync",
        DURABILITY, "It decides what a power cut can undo, not what anybody sees.",
        f"{_SQLITE}: synchronous"),
    Row("*/pragmas/journal_mode */pragmas/locking_mode", RESULTS,
        "It decides whether readers and a writer exclude each other, which ends in 'database is locked'.",
        f"{_SQLITE}: journal_mode"),
    Row("*/pragmas/busy_timeout", RESULTS,
        "A lock that is held longer than this is an error.", f"{_SQLITE}: busy_timeout"),
    Row("*/pragmas/foreign_keys */pragmas/ignore_check_constraints "
        "*/pragmas/defer_foreign_keys", RESULTS,
        "It decides whether broken references and checks are refused.", f"{_SQLITE}: foreign_keys"),
    Row("*/pragmas/cache_size */pragmas/mmap_size */pragmas/page_size "
        "*/pragmas/temp_store */pragmas/wal_autocheckpoint */pragmas/auto_vacuum "
        "*/pragmas/journal_size_limit */pragmas/threads */pragmas/secure_delete",
        TIMING, "It is about the file's form and about memory, not about rows.", f"{_SQLITE}"),
    Row("*/pragmas/*", RESULTS, "It changes how statements are read or executed.", _SQLITE),
    Row("databases/*/compile_options/COMPILER databases/*/compile_options/DEFAULT_*CACHE* "
        "databases/*/compile_options/DEFAULT_PAGE_SIZE databases/*/compile_options/DEFAULT_MMAP_SIZE "
        "databases/*/compile_options/DEFAULT_WAL_AUTOCHECKPOINT databases/*/compile_options/DEFAULT_SECTOR_SIZE "
        "databases/*/compile_options/MALLOC_* databases/*/compile_options/SYSTEM_MALLOC "
        "databases/*/compile_options/MUTEX_* databases/*/compile_options/ATOMIC_INTRINSICS "
        "databases/*/compile_options/TEMP_STORE databases/*/compile_options/*_VACUUM* "
        "databases/*/compile_options/SECURE_DELETE databases/*/compile_options/ENABLE_API_ARMOR",
        TIMING, "It is about how the library was built and how it keeps its memory, not about rows.",
        "SQLite documentation, Compile-time Options"),
    Row("databases/*/compile_options/*SYNCHRONOUS", DURABILITY,
        "It decides what a power cut can undo, not what anybody sees.",
        "SQLite documentation, Compile-time Options"),
    Row("databases/*/compile_options/*", RESULTS,
        "It adds, leaves out or limits something that SQL can use.", "SQLite documentation, Compile-time Options"),
)  # fmt: skip

SESSIONS = (
    Row("sessions/expire_on_commit", RESULTS,
        "It decides whether objects show what was committed, or what they were before.",
        f"{_SESSIONS}: expire_on_commit"),
    Row("sessions/autoflush", RESULTS, "Without it a query does not see the session's own pending rows.",
        f"{_SESSIONS}: autoflush"),
    Row("sessions/class sessions/is_async sessions/autobegin sessions/twophase sessions/join_transaction_mode",
        RESULTS, "It decides how a session begins, joins and ends transactions.", _SESSIONS),
    Row("*/isolation_level", RESULTS,
        "It decides whether a transaction sees what others commit meanwhile.",
        "SQLAlchemy documentation, Transaction Isolation Levels"),
    Row("engines", RESULTS, "Only one of the runs has connected in this way.", _ENGINES),
    Row("*/driver", RESULTS,
        "Drivers differ in the types that they return, in their errors, and in how they begin transactions.",
        "SQLAlchemy documentation, Dialects"),
    Row("*/pool/class", RESULTS,
        "It decides whether callers share a connection, and what temporary state the next one finds.", _POOLING),
    Row("*/pool/reset_on_return", RESULTS,
        "Without it a transaction that is left open goes on to the next caller.",
        f"{_POOLING}: Reset On Return"),
    Row("*/pool/size */pool/max_overflow", TIMING,
        "With fewer connections callers wait longer, and fail only where the wait exceeds the pool's timeout.",
        f"{_POOLING}: QueuePool"),
    Row("*/pool/timeout", RESULTS, "Who waits longer than this for a connection gets an error.",
        f"{_POOLING}: QueuePool"),
    Row("*/pool/recycle */pool/pre_ping */pool/use_lifo", TIMING,
        "It decides when a connection is made anew or asked whether it lives.",
        f"{_POOLING}: Dealing with Disconnects"),
)  # fmt: skip

RUN = (
    Row("run/tests", RESULTS, "Not the same tests were run, and any of them can leave something for the others.",
        _GRUBER),
    Row("run/order", RESULTS, "A test meets what those before it have left behind.", _GRUBER),
    Row("run/split", RESULTS, "A test shares its process with other ones, and meets what they leave behind.", _GRUBER),
    Row("run/workers run/distribution", RESULTS,
        "Tests are divided among processes otherwise, and so are what they leave behind and what they compete for.",
        "pytest-xdist documentation, Running tests across multiple CPUs; " + _GRUBER),
    Row("run/seed", RESULTS, "The seed decides the order, and what random and the factories of test data give.",
        "pytest-randomly, README"),
    Row("run/isolation", RESULTS, "Rolled-back tests do not see what real commits do.",
        "dbparity, docs/what-rollback-hides.md"),
    Row("run/schema", RESULTS, "Tables made from models need not be those that migrations make.",
        "dbparity, docs/schema.md"),
)  # fmt: skip

_BUILDS_ON = "The application is built on it, and another version may behave otherwise."
PACKAGES = {
    Role.ORM: (RESULTS, "It writes the SQL and maps the rows, and another version may do either otherwise."),
    Role.DRIVER: (
        RESULTS,
        "It speaks to the database, and another version may return other types and errors.",
    ),
    Role.FRAMEWORK: (RESULTS, _BUILDS_ON),
    Role.APPLICATION: (RESULTS, "The application requires it, and another version may behave otherwise."),
    Role.RUNNER: (
        RESULTS,
        "It runs the tests: their order, their fixtures and their warnings are its doing.",
    ),
    Role.IMPORTED: (
        RESULTS,
        "The tests or the application import it, and another version may behave otherwise.",
    ),
    Role.UNKNOWN: (
        RESULTS,
        "Not rated: it is not known what the application requires, so it is not ruled out.",
    ),
    Role.MEASURING: (TIMING, "It measures which lines run, which costs time and changes no answer."),
    Role.TOOL: (NONE, "It is a tool of developers: neither the application nor the tests import it."),
    Role.UNUSED: (
        NONE,
        "Neither the application nor the test runner requires it, and nothing has imported it.",
    ),
}
"""By its role: what a package can do, and why."""
PACKAGE_SOURCE = "the package's place among the requirements of application and test runner"

VARIABLES = (
    Row("CI", RESULTS,
        "Programs and tests ask for it, to do otherwise on a build server than elsewhere.",
        "documentation of the build servers, default variables"),
    Row("GITHUB_* RUNNER_* GITLAB_* BUILD_* ACTIONS_* ImageOS ImageVersion", NONE,
        "A build server sets it to describe itself; where the project reads it, its contract should declare it.",
        "documentation of the build servers, default variables"),
    Row("TZ LANG LANGUAGE LC_*", RESULTS,
        "It sets the locale or the time zone of every process that is started.",
        "POSIX, Base Definitions: Environment Variables"),
    Row("PYTHON*", RESULTS, "It changes how Python starts or what it imports.", _COMMAND_LINE),
    Row("PG* *DATABASE* *DB_* SQLALCHEMY_* DBPARITY_*", RESULTS,
        "By its name it says which database is meant, or how it is reached.",
        "PostgreSQL documentation, libpq: Environment Variables"),
    Row("LD_* MALLOC_* *_proxy *_PROXY SSL_CERT_* REQUESTS_CA_BUNDLE SOURCE_DATE_EPOCH", RESULTS,
        "It changes the libraries that are loaded, or the way into the network.", "ld.so(8), curl(1): environment"),
    Row("HOME USER LOGNAME SHELL SHLVL PWD OLDPWD _ TERM* COLORTERM HOSTNAME HOSTTYPE MAIL MACHTYPE OSTYPE "
        "EDITOR VISUAL PAGER LESS* LS_COLORS SSH_* GPG_* XDG_* DBUS_* DISPLAY WAYLAND_* WINDOWID "
        "DESKTOP_SESSION GNOME_* GTK_* KDE_* QT_* "
        "PS1 PS2 PROMPT* HIST* VIRTUAL_ENV VIRTUAL_ENV_PROMPT PATH MANPATH INFOPATH INVOCATION_ID JOURNAL_STREAM "
        "SYSTEMD_* VSCODE_* TMUX* STY NVM_* MAKE* MFLAGS NO_COLOR FORCE_COLOR COLUMNS LINES "
        "DEBIAN_FRONTEND XPC_* SECURITYSESSIONID Apple_* __CF*", NONE,
        "It belongs to the shell, the terminal or the desktop; that it is set says nothing to a program.",
        "POSIX, Base Definitions: Environment Variables"),
)  # fmt: skip
"""Variables that everybody knows, where no contract declares them."""

DECLARED = Row(
    "*", RESULTS, "The contract declares it, so the application reads it.", "the project's contract"
)
UNDECLARED = Row("*", NONE, "The contract does not declare it, so the application should not read it.",
                 "the project's contract")  # fmt: skip
UNCONTRACTED = Row(
    "*", RESULTS, "Not rated: no contract says which variables the application reads.", "no source"
)

FACTS = (*PYTHON, *MACHINE, *DATABASES, *SESSIONS, *RUN)
"""Every judgement on a fact by its place; the first that is about it decides."""
