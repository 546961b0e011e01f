-- A plain double-entry ledger in PostgreSQL, as one would write it for speed without giving up what a ledger promises:
-- exact amounts in minor units, balances that never pass their floor, a journal with the totals that each posting left,
-- and request ids that are remembered for good and answered as they were the first time.

CREATE TABLE account (
  id bigint PRIMARY KEY,
  name text NOT NULL UNIQUE,
  is_credit_normal boolean NOT NULL,
  -- The least that may be available; NULL for no bound.
  floor bigint DEFAULT 0,
  debits_pending bigint NOT NULL DEFAULT 0,
  debits_posted bigint NOT NULL DEFAULT 0,
  credits_pending bigint NOT NULL DEFAULT 0,
  credits_posted bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50); -- Room beside every row, so that an update stays on its page and touches no index.

CREATE SEQUENCE journal CACHE 1;

-- One row per request: what was asked for and what was answered.
CREATE TABLE transaction (
  request_id uuid PRIMARY KEY,
  sequence bigint NOT NULL,
  debit bigint NOT NULL,
  credit bigint NOT NULL,
  amount bigint NOT NULL CHECK (amount > 0),
  outcome text NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Two rows per transaction, with the totals that each left on its account; the key is what a statement reads by.
CREATE TABLE posting (
  account bigint NOT NULL,
  sequence bigint NOT NULL,
  is_debit boolean NOT NULL,
  amount bigint NOT NULL,
  debits_posted bigint NOT NULL,
  credits_posted bigint NOT NULL,
  PRIMARY KEY (account, sequence)
);

-- One transfer. The answer is 'accepted', 'INSUFFICIENT_FUNDS', 'ACCOUNT_NOT_FOUND', 'SAME_ACCOUNT', or, of a request
-- id that was used before, 'replayed: ' and the first answer, or 'REQUEST_ID_REUSED' if it asked for something else.
--
-- Accounts are locked in the order of their ids, so two transfers never wait for each other.
CREATE FUNCTION transfer(asked_id uuid, asked_debit bigint, asked_credit bigint, asked_amount bigint)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  at bigint := nextval('journal');
  debited account%ROWTYPE;
  credited account%ROWTYPE;
  earlier transaction%ROWTYPE;
  refusal text;
BEGIN
  INSERT INTO transaction (request_id, sequence, debit, credit, amount, outcome)
  VALUES (asked_id, at, asked_debit, asked_credit, asked_amount, 'accepted')
  ON CONFLICT (request_id) DO NOTHING;
  IF NOT FOUND THEN
    SELECT * INTO earlier FROM transaction WHERE request_id = asked_id;
    IF (earlier.debit, earlier.credit, earlier.amount) = (asked_debit, asked_credit, asked_amount) THEN
      RETURN 'replayed: ' || earlier.outcome;
    END IF;
    RETURN 'REQUEST_ID_REUSED';
  END IF;

  IF asked_debit = asked_credit THEN
    refusal := 'SAME_ACCOUNT';
  ELSIF asked_debit < asked_credit THEN
    UPDATE account SET debits_posted = debits_posted + asked_amount WHERE id = asked_debit RETURNING * INTO debited;
    UPDATE account SET credits_posted = credits_posted + asked_amount WHERE id = asked_credit RETURNING * INTO credited;
  ELSE
    UPDATE account SET credits_posted = credits_posted + asked_amount WHERE id = asked_credit RETURNING * INTO credited;
    UPDATE account SET debits_posted = debits_posted + asked_amount WHERE id = asked_debit RETURNING * INTO debited;
  END IF;

  IF refusal IS NULL AND (debited.id IS NULL OR credited.id IS NULL) THEN
    refusal := 'ACCOUNT_NOT_FOUND';
  ELSIF debited.is_credit_normal
    AND debited.credits_posted - debited.debits_posted - debited.debits_pending < debited.floor
    OR NOT credited.is_credit_normal
    AND credited.debits_posted - credited.credits_posted - credited.credits_pending < credited.floor THEN
    refusal := 'INSUFFICIENT_FUNDS';
  END IF;

  IF refusal IS NOT NULL THEN
    -- Both rows are still locked by this transaction, so nobody saw what is taken back here.
    UPDATE account SET debits_posted = debits_posted - asked_amount WHERE id = debited.id;
    UPDATE account SET credits_posted = credits_posted - asked_amount WHERE id = credited.id;
    UPDATE transaction SET outcome = refusal WHERE request_id = asked_id;
    RETURN refusal;
  END IF;

  INSERT INTO posting (account, sequence, is_debit, amount, debits_posted, credits_posted) VALUES
    (asked_debit, at, true, asked_amount, debited.debits_posted, debited.credits_posted),
    (asked_credit, at, false, asked_amount, credited.debits_posted, credited.credits_posted);
  RETURN 'accepted';
END
$$;

-- Many transfers in one call, each with an outcome of its own and each seeing those before it. Where all can be
-- accepted, which is checked, they are booked as sets; otherwise one by one. Returns how many were accepted or had been.
CREATE FUNCTION transfer_many(asked_ids uuid[], asked_debits bigint[], asked_credits bigint[], asked_amounts bigint[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  is_broken boolean;
  accepted bigint;
BEGIN
  BEGIN
    -- In the order of their ids, as transfer() does. What follows is a statement of its own, so it sees what those wrote
    -- who held the locks before.
    PERFORM 1 FROM account
    WHERE id IN (SELECT unnest(asked_debits) UNION SELECT unnest(asked_credits))
    ORDER BY id FOR NO KEY UPDATE;

    WITH item AS MATERIALIZED (
      SELECT nextval('journal') AS sequence, asked.*
      FROM unnest(asked_ids, asked_debits, asked_credits, asked_amounts)
        WITH ORDINALITY AS asked (request_id, debit, credit, amount, place)
    ), side AS (
      SELECT sequence, debit AS account, true AS is_debit, amount, amount AS debits, 0::bigint AS credits FROM item
      UNION ALL
      SELECT sequence, credit, false, amount, 0::bigint, amount FROM item
    ), running AS MATERIALIZED (
      SELECT side.account, side.sequence, side.is_debit, side.amount,
        (account.debits_posted + sum(side.debits) OVER so_far)::bigint AS debits_posted,
        (account.credits_posted + sum(side.credits) OVER so_far)::bigint AS credits_posted,
        account.debits_pending, account.credits_pending, account.is_credit_normal, account.floor
      FROM side JOIN account ON account.id = side.account
      WINDOW so_far AS (PARTITION BY side.account ORDER BY side.sequence)
    ), recorded AS (
      INSERT INTO transaction (request_id, sequence, debit, credit, amount, outcome)
      SELECT request_id, sequence, debit, credit, amount, 'accepted' FROM item
    ), moved AS (
      UPDATE account SET debits_posted = account.debits_posted + total.debits,
        credits_posted = account.credits_posted + total.credits
      FROM (
        SELECT side.account, sum(side.debits)::bigint AS debits, sum(side.credits)::bigint AS credits
        FROM side GROUP BY side.account
      ) AS total
      WHERE account.id = total.account
    ), booked AS (
      INSERT INTO posting (account, sequence, is_debit, amount, debits_posted, credits_posted)
      SELECT account, sequence, is_debit, amount, debits_posted, credits_posted FROM running
    )
    SELECT
      coalesce(bool_or(CASE WHEN is_credit_normal
        THEN is_debit AND credits_posted - debits_posted - debits_pending < floor
        ELSE NOT is_debit AND debits_posted - credits_posted - credits_pending < floor
      END), false)
      -- An account that is not there has no line; a transfer from an account to itself has two of one key and fails there.
      OR count(*) <> 2 * cardinality(asked_ids)
    INTO is_broken FROM running;
    IF is_broken THEN
      RAISE EXCEPTION USING ERRCODE = 'FL001', MESSAGE = 'not all of them can be accepted';
    END IF;
    RETURN cardinality(asked_ids);
  EXCEPTION WHEN SQLSTATE 'FL001' OR unique_violation THEN
    -- All of that is undone; refusals and repetitions take their turn one by one.
    NULL;
  END;
  -- The locks went with what was undone, and single calls would take them in the order of the items: take them all first.
  PERFORM 1 FROM account
  WHERE id IN (SELECT unnest(asked_debits) UNION SELECT unnest(asked_credits))
  ORDER BY id FOR NO KEY UPDATE;
  SELECT count(*) FILTER (WHERE answer IN ('accepted', 'replayed: accepted')) INTO accepted
  FROM (
    SELECT transfer(request_id, debit, credit, amount) AS answer
    FROM unnest(asked_ids, asked_debits, asked_credits, asked_amounts) AS asked (request_id, debit, credit, amount)
  ) AS answers;
  RETURN accepted;
END
$$;

-- Opens accounts 0 to count - 1 and funds them from an account without a floor, number -1, as opening balances.
CREATE PROCEDURE open_accounts(count bigint, funding bigint) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO account (id, name, is_credit_normal, floor, debits_posted)
  VALUES (-1, 'equity:bench', true, NULL, count * funding);
  INSERT INTO account (id, name, is_credit_normal, credits_posted)
  SELECT id, 'liabilities:bench:' || id, true, funding FROM generate_series(0, count - 1) AS id;
END
$$;
