-- What companies sell by the piece: a read model, folded in the append's own statement. What it costs is decided from the events;
-- this is for finding and listing.

CREATE TABLE articles (
    merchant    text   NOT NULL,
    article_id  uuid   NOT NULL,
    -- A GUID, in lower case with hyphens.
    company     text   NOT NULL,
    -- What the company calls it.
    number      bigint NOT NULL,
    name        text   NOT NULL,
    currency    text   NOT NULL,
    -- Negative for a rebate.
    price_minor bigint NOT NULL,
    version     bigint NOT NULL,
    position    bigint NOT NULL,
    PRIMARY KEY (merchant, article_id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX articles_by_number ON articles (merchant, company, number);
