-- The history of Executioner. The one source of its schema: read at the creation of a
-- database, shipped in the wheel, explained in docs/history.md.
--
-- Times are UTC, ISO 8601 text of fixed width: 2025-05-23T09:45:00.000000Z.
-- Durations are seconds. Paths are absolute. No environment value is stored but those
-- given with --env under names that do not look secret.

PRAGMA application_id = 1163412803;  -- "EXEC"
PRAGMA user_version = 1;

CREATE TABLE run_metadata (
    run_id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused
    config_path TEXT,
    config_hash TEXT,          -- SHA-256 of the file's bytes
    parent_run_id INTEGER,     -- If resumed from another run
    total_jobs INTEGER,
    completed_jobs INTEGER,    -- SUCCESS, reused ones included
    failed_jobs INTEGER,       -- FAILED, TIMEOUT, ERROR
    skipped_jobs INTEGER,
    start_time TIMESTAMP,
    end_time TIMESTAMP,
    duration_seconds REAL,
    status TEXT,               -- RUNNING, SUCCESS, PARTIAL, FAILED, INTERRUPTED
    failure_summary TEXT,
    application_name TEXT,
    user TEXT,
    host TEXT,
    boot_id TEXT,              -- with pid and pid_start_ticks: which process ran it
    pid INTEGER,
    pid_start_ticks INTEGER,
    root_run_id INTEGER,       -- the first run of a chain of resumes; itself when fresh
    working_dir TEXT,
    log_path TEXT,             -- the run's main log
    exit_code INTEGER,
    options TEXT,              -- JSON of the flags used
    executioner_version TEXT
);

CREATE TABLE job_history (
    run_id INTEGER NOT NULL,
    id TEXT NOT NULL,
    position INTEGER,          -- in the config, from 0
    description TEXT,
    command TEXT,              -- as written in the config
    status TEXT,               -- PENDING, RUNNING, SUCCESS, FAILED, TIMEOUT, ERROR, INTERRUPTED, SKIPPED
    reason TEXT,               -- why it failed, was skipped or was interrupted
    exit_code INTEGER,         -- of the last attempt; -N: killed by signal N
    application_name TEXT,
    start_time TIMESTAMP,      -- of the first attempt
    end_time TIMESTAMP,        -- of the last attempt
    last_run TIMESTAMP,        -- the start of the last attempt
    duration_seconds REAL,     -- first start to last end, waits between retries included
    retry_count INTEGER,
    retry_history TEXT,        -- JSON, an entry an attempt, on success too
    last_error TEXT,           -- the reason of the last attempt that failed
    memory_usage_mb REAL,      -- peak of the largest process; NULL where not measurable
    cpu_usage_percent REAL,    -- of one core
    log_path TEXT,
    definition TEXT,           -- canonical JSON; environment values only as HMAC
    source_run_id INTEGER,     -- of a reused job: the run in which it really ran
    marked_by TEXT,            -- of a job that a person marked as successful
    marked_at TIMESTAMP,
    mark_reason TEXT,
    PRIMARY KEY (run_id, id)
) WITHOUT ROWID;

-- The database's own random values: 'id' marks its processes, 'key' is the HMAC key of
-- the definitions' environment values.
CREATE TABLE database_identity (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE INDEX run_by_config ON run_metadata (config_path, run_id);
CREATE INDEX run_by_application ON run_metadata (application_name, run_id);
CREATE INDEX run_by_status ON run_metadata (status, run_id);
CREATE INDEX run_by_root ON run_metadata (root_run_id, run_id);
