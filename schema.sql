-- The history of Executioner. The one source of its schema: read at the creation of a
-- database, shipped in the wheel, explained in docs/history.md.
--
-- Times are UTC, ISO 8601 text of fixed width: 2025-05-23T09:45:00.000000Z.
-- Durations are seconds. Paths are absolute. No environment value is stored but those
-- given with --env under names that do not look secret.

PRAGMA application_id = 1163412803;  -- "EXEC"
PRAGMA user_version = 2;

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
    max_retries INTEGER,       -- how many retries the config allowed
    PRIMARY KEY (run_id, id)
) WITHOUT ROWID;

-- The database's own random values: 'id' marks its processes, 'key' is the HMAC key of
-- the definitions' environment values.
CREATE TABLE database_identity (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- Lists of runs, newest first, stay as fast with a million runs as with a thousand: one
-- index for each filter with the status, in the order of run ids and in that of start times.
CREATE INDEX run_by_status ON run_metadata (status);
CREATE INDEX run_by_application ON run_metadata (application_name, status);
CREATE INDEX run_by_config ON run_metadata (config_path, status);
CREATE INDEX run_by_user ON run_metadata (user, status);
CREATE INDEX run_by_application_user ON run_metadata (application_name, user, status);
CREATE INDEX run_by_status_time ON run_metadata (status, start_time);
CREATE INDEX run_by_application_time ON run_metadata (application_name, status, start_time);
CREATE INDEX run_by_application_user_time ON run_metadata (application_name, user, status, start_time);
CREATE INDEX run_by_config_time ON run_metadata (config_path, status, start_time);
CREATE INDEX run_by_user_time ON run_metadata (user, status, start_time);

-- The same for partly completed runs: some of their jobs succeeded, but not all.
CREATE INDEX partly_by_status ON run_metadata (status)
    WHERE completed_jobs > 0 AND completed_jobs < total_jobs;
CREATE INDEX partly_by_application ON run_metadata (application_name, status)
    WHERE completed_jobs > 0 AND completed_jobs < total_jobs;
CREATE INDEX partly_by_config ON run_metadata (config_path, status)
    WHERE completed_jobs > 0 AND completed_jobs < total_jobs;
CREATE INDEX partly_by_user ON run_metadata (user, status)
    WHERE completed_jobs > 0 AND completed_jobs < total_jobs;
CREATE INDEX partly_by_status_time ON run_metadata (status, start_time)
    WHERE completed_jobs > 0 AND completed_jobs < total_jobs;
CREATE INDEX partly_by_application_time ON run_metadata (application_name, status, start_time)
    WHERE completed_jobs > 0 AND completed_jobs < total_jobs;
CREATE INDEX partly_by_config_time ON run_metadata (config_path, status, start_time)
    WHERE completed_jobs > 0 AND completed_jobs < total_jobs;
CREATE INDEX partly_by_user_time ON run_metadata (user, status, start_time)
    WHERE completed_jobs > 0 AND completed_jobs < total_jobs;

-- Runs that were taken over from a tool that did not record the config.
CREATE INDEX run_without_config ON run_metadata (application_name, status) WHERE config_path IS NULL;

-- Chains of resumes.
CREATE INDEX run_by_root ON run_metadata (root_run_id);
CREATE INDEX run_by_parent ON run_metadata (parent_run_id) WHERE parent_run_id IS NOT NULL;

-- For people and other tools: the questions that are asked most.
CREATE VIEW run_overview AS
SELECT run_id, application_name, status,
       datetime(start_time, 'localtime') AS started,
       round(duration_seconds, 1) AS seconds,
       completed_jobs, total_jobs, failure_summary, user, host, config_path, parent_run_id,
       (SELECT max(child.run_id) FROM run_metadata AS child
        WHERE child.parent_run_id = run.run_id) AS resumed_by
FROM run_metadata AS run;

CREATE VIEW failed_jobs AS
SELECT run.run_id, run.application_name, job.id, job.status, job.reason, job.exit_code,
       datetime(job.last_run, 'localtime') AS last_started, job.retry_count, job.log_path
FROM run_metadata AS run JOIN job_history AS job ON job.run_id = run.run_id
WHERE job.status IN ('FAILED', 'TIMEOUT', 'ERROR', 'INTERRUPTED');
