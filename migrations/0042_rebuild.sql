-- Rebuilding read models beside the live ones. One runs at a time, under an advisory lock of its session; it fills shadows in
-- the schema `rebuild`, whose tables are of nobody's concern: those of a rebuild that was killed are removed by the next.

CREATE SCHEMA rebuild;

-- What was rebuilt, by whom, and what came of it.
CREATE TABLE rebuilds (
    id          uuid        PRIMARY KEY,
    -- Names and versions of the folds, such as 'orders.v1'.
    projections text[]      NOT NULL CHECK (cardinality(projections) > 0),
    dry_run     boolean     NOT NULL,
    -- The program that folded.
    program     text        NOT NULL,
    started_by  text        NOT NULL,
    -- Whose key it was started with; none on the command line.
    merchant    text,
    -- 'identical', 'different' (a dry run) and 'swapped' are ends; 'abandoned' was killed or stopped, 'failed' could not finish.
    state       text        NOT NULL CHECK (state IN ('running', 'identical', 'different', 'swapped', 'failed', 'abandoned')),
    step        text        NOT NULL,
    error       text,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz,
    -- Positions of the whole log: how far the shadow is filled, of how much; where it was compared; where it took the place.
    filled_to   bigint      NOT NULL DEFAULT 0,
    head        bigint      NOT NULL,
    compared_at bigint,
    swapped_at  bigint,
    CHECK ((state = 'running') = (ended_at IS NULL)),
    CHECK (state <> 'swapped' OR swapped_at IS NOT NULL),
    CHECK (state NOT IN ('identical', 'different', 'swapped') OR compared_at IS NOT NULL)
);
CREATE INDEX rebuilds_latest ON rebuilds (started_at);

-- The certificate: each table, merchant by merchant, at the position where it was compared.
CREATE TABLE rebuild_tables (
    rebuild          uuid   NOT NULL REFERENCES rebuilds,
    table_name       text   NOT NULL,
    merchant         text   NOT NULL,
    -- Where the merchant's ledger stood.
    ledger_position  bigint NOT NULL,
    live_rows        bigint NOT NULL,
    rebuilt_rows     bigint NOT NULL,
    -- The sum, modulo 2^256, of the SHA-256 of each row's text, in whatever order.
    live_checksum    bytea  NOT NULL CHECK (octet_length(live_checksum) = 32),
    rebuilt_checksum bytea  NOT NULL CHECK (octet_length(rebuilt_checksum) = 32),
    -- Rows that are missing, surplus, or differ in a column.
    differences      bigint NOT NULL,
    PRIMARY KEY (rebuild, table_name, merchant),
    CHECK ((differences = 0) = (live_rows = rebuilt_rows AND live_checksum = rebuilt_checksum))
);

-- The first of the differences, column by column.
CREATE TABLE rebuild_differences (
    rebuild     uuid   NOT NULL,
    number      int    NOT NULL,
    table_name  text   NOT NULL,
    merchant    text   NOT NULL,
    -- The row's key, as an object.
    row_key     jsonb  NOT NULL,
    -- 'missing' where only the events know the row, 'surplus' where they do not.
    what        text   NOT NULL CHECK (what IN ('missing', 'surplus', 'differs')),
    column_name text   CHECK ((what = 'differs') = (column_name IS NOT NULL)),
    live        jsonb,
    rebuilt     jsonb,
    PRIMARY KEY (rebuild, number),
    FOREIGN KEY (rebuild, table_name, merchant) REFERENCES rebuild_tables
);

-- Certificates are the owner's to write.
REVOKE ALL ON rebuilds, rebuild_tables, rebuild_differences FROM counterfoil_writer;
GRANT SELECT ON rebuilds, rebuild_tables, rebuild_differences TO counterfoil_writer;

-- An empty table in the schema `rebuild`, like the live one in everything but its indexes: they are made once it is full.
CREATE FUNCTION rebuild.make_shadow(live regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    it     pg_class;
    shadow text;
    found  record;
BEGIN
    SELECT * INTO STRICT it FROM pg_class WHERE oid = live;
    shadow := format('rebuild.%I', it.relname);
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = live AND NOT tgisinternal) OR it.relkind <> 'r' THEN
        RAISE EXCEPTION '% is no plain table without triggers: it cannot be rebuilt', live;
    END IF;
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES)', shadow, live);
    FOR found IN SELECT unnest(it.reloptions) AS option LOOP
        EXECUTE format('ALTER TABLE %s SET (%s)', shadow, found.option);
    END LOOP;
    FOR found IN SELECT conname, pg_get_constraintdef(oid) AS def FROM pg_constraint
        WHERE conrelid = live AND contype IN ('p', 'u', 'x', 'f') ORDER BY conname
    LOOP
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', shadow, found.conname, found.def);
    END LOOP;
    -- Who may do what. Rights that were given by default are not those of the live one.
    FOR found IN SELECT DISTINCT grantee FROM pg_class, aclexplode(relacl)
        WHERE pg_class.oid = shadow::regclass AND grantee <> relowner
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', shadow, rebuild.grantee(found.grantee));
    END LOOP;
    FOR found IN SELECT * FROM aclexplode(it.relacl) WHERE grantee <> it.relowner LOOP
        EXECUTE format('GRANT %s ON %s TO %s%s', found.privilege_type, shadow, rebuild.grantee(found.grantee),
            CASE WHEN found.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
    FOR found IN SELECT attname, acl.* FROM pg_attribute, aclexplode(attacl) AS acl
        WHERE attrelid = live AND NOT attisdropped
    LOOP
        EXECUTE format('GRANT %s (%I) ON %s TO %s%s', found.privilege_type, found.attname, shadow,
            rebuild.grantee(found.grantee), CASE WHEN found.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
    FOR found IN SELECT p.* FROM pg_policies p JOIN pg_namespace n ON n.nspname = p.schemaname
        WHERE n.oid = it.relnamespace AND p.tablename = it.relname
    LOOP
        EXECUTE format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', found.policyname, shadow, found.permissive, found.cmd,
            (SELECT string_agg(CASE role WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(role) END, ', ')
             FROM unnest(found.roles) AS role),
            coalesce(' USING (' || found.qual || ')', ''), coalesce(' WITH CHECK (' || found.with_check || ')', ''));
    END LOOP;
    IF it.relrowsecurity THEN
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', shadow);
    END IF;
    IF it.relforcerowsecurity THEN
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', shadow);
    END IF;
    EXECUTE format('ALTER TABLE %s OWNER TO %I', shadow, pg_get_userbyid(it.relowner));
END
$$;

CREATE FUNCTION rebuild.grantee(role oid) RETURNS text LANGUAGE sql AS $$
    SELECT CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END
$$;

-- The shadow's indexes, of the same names and definitions.
CREATE FUNCTION rebuild.index_shadow(live regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    names record;
    found record;
BEGIN
    SELECT format(' ON %I.%I ', nspname, relname) AS live, format(' ON rebuild.%I ', relname) AS shadow
        INTO STRICT names FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = live;
    FOR found IN SELECT pg_get_indexdef(indexrelid) AS def FROM pg_index
        WHERE indrelid = live AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = live)
    LOOP
        IF position(names.live IN found.def) = 0 THEN
            RAISE EXCEPTION 'an index of % is defined in a way that is not understood', live;
        END IF;
        EXECUTE replace(found.def, names.live, names.shadow);
    END LOOP;
END
$$;
