"""The statements that divide the events into segments. `;;` stands between those of one script.

`{{...}}` is filled in by the caller with numbers and names that come from the database, never from outside.
"""

from __future__ import annotations

EVENTS = "tocsin_events"
AHEAD = 2
"""Empty segments kept ready after the one that is written to."""
TURN = f"pg_advisory_xact_lock(hashtext('{EVENTS}'))"

STREAMS = f"""
CREATE TABLE IF NOT EXISTS {EVENTS[:-1]}_streams (
    originator_id uuid PRIMARY KEY,
    version bigint NOT NULL,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL
) WITH (fillfactor = 80)
"""

COUNT = f"""
INSERT INTO {EVENTS[:-1]}_streams
SELECT originator_id, max(originator_version), min(notification_id), max(notification_id) FROM {EVENTS}
WHERE notification_id > :after AND notification_id <= :until GROUP BY originator_id
ON CONFLICT (originator_id) DO UPDATE SET version = excluded.version, last_position = excluded.last_position
"""

PREPARE = f"""
ALTER TABLE {EVENTS} DROP CONSTRAINT IF EXISTS {EVENTS}_1_range;;
ALTER TABLE {EVENTS} ADD CONSTRAINT {EVENTS}_1_range CHECK (notification_id < {{end}}) NOT VALID
"""

TURN_OVER = f"""
ALTER TABLE {EVENTS} RENAME TO {EVENTS}_1;;
ALTER INDEX {EVENTS}_pkey RENAME TO {EVENTS}_1_pkey;;
ALTER INDEX {EVENTS}_notification_id_idx RENAME TO {EVENTS}_1_notification_id_idx;;
CREATE TABLE {EVENTS} (LIKE {EVENTS}_1 INCLUDING DEFAULTS) PARTITION BY RANGE (notification_id);;
ALTER SEQUENCE {EVENTS}_notification_id_seq OWNED BY {EVENTS}.notification_id;;
CREATE UNIQUE INDEX {EVENTS}_notification_id_idx ON {EVENTS} (notification_id);;
ALTER TABLE {EVENTS} ATTACH PARTITION {EVENTS}_1 FOR VALUES FROM (MINVALUE) TO ({{end}});;
CREATE TABLE {EVENTS}_division (size bigint NOT NULL, segments integer NOT NULL, end_position bigint NOT NULL);;
INSERT INTO {EVENTS}_division VALUES ({{size}}, 1, {{end}});;
CREATE TABLE {EVENTS}_detached (
    name text PRIMARY KEY, first_position bigint NOT NULL, end_position bigint NOT NULL
);;
CREATE FUNCTION {EVENTS}_follow_on() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    wanted bigint;
    continued bigint;
    begun bigint;
BEGIN
    SELECT count(DISTINCT originator_id) INTO wanted FROM added;
    UPDATE {EVENTS[:-1]}_streams AS s SET version = a.last, last_position = a.last_position
    FROM (SELECT originator_id, min(originator_version) AS first, max(originator_version) AS last, count(*) AS many,
                 max(notification_id) AS last_position
          FROM added GROUP BY originator_id) AS a
    WHERE s.originator_id = a.originator_id AND s.version = a.first - 1 AND a.last - a.first + 1 = a.many;
    GET DIAGNOSTICS continued = ROW_COUNT;
    IF continued < wanted THEN
        INSERT INTO {EVENTS[:-1]}_streams
        SELECT originator_id, max(originator_version), min(notification_id), max(notification_id)
        FROM added GROUP BY originator_id
        HAVING min(originator_version) = 1 AND max(originator_version) = count(*)
        ON CONFLICT (originator_id) DO NOTHING;
        GET DIAGNOSTICS begun = ROW_COUNT;
        IF continued + begun < wanted THEN
            RAISE EXCEPTION 'Events that do not follow on the newest of their stream.' USING ERRCODE = '23505';
        END IF;
    END IF;
    RETURN NULL;
END;
$body$;;
CREATE TRIGGER {EVENTS}_follow_on AFTER INSERT ON {EVENTS} REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION {EVENTS}_follow_on();;
CREATE FUNCTION {EVENTS}_refuse() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'Events are never changed, and these are closed.' USING ERRCODE = '25006';
END;
$body$;;
CREATE FUNCTION {EVENTS}_make_room() RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    division {EVENTS}_division;
    given bigint;
    name text;
BEGIN
    PERFORM {TURN};
    SELECT * INTO division FROM {EVENTS}_division;
    given := coalesce(pg_sequence_last_value(pg_get_serial_sequence('{EVENTS}', 'notification_id')::regclass), 0);
    WHILE division.end_position - given <= {AHEAD} * division.size LOOP
        division.segments := division.segments + 1;
        name := '{EVENTS}_' || division.segments;
        EXECUTE format(
            'CREATE TABLE %1$I (LIKE {EVENTS} INCLUDING DEFAULTS, PRIMARY KEY (originator_id, originator_version), '
            'CONSTRAINT %2$I CHECK (notification_id >= %3$s AND notification_id < %4$s)) '
            'WITH (autovacuum_vacuum_threshold = 100000000, autovacuum_analyze_threshold = 1000)',
            name, name || '_range', division.end_position, division.end_position + division.size);
        EXECUTE format('CREATE UNIQUE INDEX %I ON %I (notification_id)', name || '_notification_id_idx', name);
        EXECUTE format('ALTER TABLE {EVENTS} ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            name, division.end_position, division.end_position + division.size);
        division.end_position := division.end_position + division.size;
        UPDATE {EVENTS}_division SET segments = division.segments, end_position = division.end_position;
    END LOOP;
    RETURN division.end_position - {AHEAD} * division.size;
END;
$body$
"""

MAKE_ROOM = f"SELECT {EVENTS}_make_room()"
"""Gives the position from which on it is to be called again."""

CLOSE = f"""
CREATE TRIGGER {EVENTS}_closed BEFORE INSERT OR UPDATE OR DELETE ON {{name}}
FOR EACH ROW EXECUTE FUNCTION {EVENTS}_refuse()
"""

LIST = f"""
SELECT s.name, s.first AS first, s."end", s.attached,
       (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace) AS tablespace,
       coalesce(pg_total_relation_size(c.oid), 0) AS bytes
FROM (
    SELECT inhrelid::regclass::text AS name, true AS attached,
           coalesce(substring(pg_get_expr(k.relpartbound, k.oid) FROM 'FROM \\(''?(\\d+)')::bigint, 1) AS first,
           substring(pg_get_expr(k.relpartbound, k.oid) FROM 'TO \\(''?(\\d+)')::bigint AS "end"
    FROM pg_inherits JOIN pg_class k ON k.oid = inhrelid WHERE inhparent = '{EVENTS}'::regclass
    UNION ALL SELECT name, false, first_position, end_position FROM {EVENTS}_detached
) s LEFT JOIN pg_class c ON c.oid = to_regclass(s.name)
ORDER BY s.first
"""
