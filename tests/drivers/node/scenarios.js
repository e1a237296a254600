// What node-postgres is made to do: `node scenarios.js <scenario> <host> <port> <clients>`, with pg, pg-cursor and
// pg-query-stream on NODE_PATH. Ends with status 1 and a message at the first wrong thing.
'use strict';
const assert = require('node:assert/strict');
const {Client, Pool} = require('pg');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');

const [scenario, host, port, clients] =
    [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5])];
const rounds = 5;
const accounts = 50;
const server = {
  host,
  port,
  user: 'driver',
  database: 'test'
};
const label = (number) => (number % 2 ? number : `c${number}`);
const range = (first, last) => Array.from({length: last - first + 1}, (_, i) => first + i);

// The same pseudo-random numbers in each run.
function dice(seed) {
  let state = seed + 1;
  return (sides) => {
    state = (state * 48271) % 2147483647;
    return state % sides;
  };
}

// Runs work(client, number) on `clients` connections at once, each begun when all stand.
async function together(work) {
  const all = await Promise.all(range(0, clients - 1).map(async (number) => {
    const client = new Client({
      ...server,
      application_name: `node-${number}`,
      options: `-c search_path=c${number} -c TimeZone=Etc/GMT+${number % 12}`,
    });
    client.on('error', fail);
    await client.connect();
    return client;
  }));
  await Promise.all(all.map((client, number) => work(client, number)));
  await Promise.all(all.map((client) => client.end()));
}

async function checkIdentity(client, number) {
  const {rows} = await client.query(
      "SELECT number, label, who(), current_setting('application_name') AS name, " +
      "current_setting('TimeZone') AS zone FROM me");
  assert.deepEqual(
      rows, [{number, label: label(number), who: number, name: `node-${number}`, zone: `Etc/GMT+${number % 12}`}]);
}

const scenarios = {
  async identity() {
    await together(async (client, number) => {
      for (const step of range(1, rounds)) {
        await checkIdentity(client, number);
        await client.query(`SET statement_timeout = ${100001 + number}; SET drivers.number = '${number}'`);
        await client.query('BEGIN');
        await client.query(`SET LOCAL TimeZone = 'Etc/GMT-${step}'`);
        await client.query(`SET drivers.number = 'lost'`);
        await client.query('ROLLBACK');
        await checkIdentity(client, number);
        const {rows} = await client.query(
            "SELECT current_setting('statement_timeout') AS timeout, current_setting('drivers.number') AS number");
        assert.deepEqual(rows, [{timeout: `${100001 + number}ms`, number: `${number}`}]);
        const both = await client.query('SELECT number FROM me; SELECT label FROM me');
        assert.deepEqual(both.map((result) => result.rows), [[{number}], [{label: label(number)}]]);
      }
    });
  },

  // The same name on every connection, with another text; and the same text, which means another table.
  async prepared() {
    await together(async (client, number) => {
      for (const step of range(1, rounds * 3)) {
        const own = await client.query(
            {name: 'same', text: `SELECT ${number} * 1000 + $1::int AS value, label FROM me`, values: [step]});
        assert.deepEqual(own.rows, [{value: number * 1000 + step, label: label(number)}]);
        const shared = await client.query(
            {name: 'shared', text: 'SELECT label FROM me WHERE number = $1', values: [number], rowMode: 'array'});
        assert.deepEqual(shared.rows, [[label(number)]]);
        const unnamed = await client.query('SELECT $1::text || number AS value FROM me', ['v']);
        assert.deepEqual(unnamed.rows, [{value: `v${number}`}]);
        await assert.rejects(client.query({name: 'failing', text: 'SELECT 1 / $1::int', values: [0]}), {code: '22012'});
        await assert.rejects(
            client.query({name: `broken${step}`, text: 'SELECT nothing FROM me', values: []}), {code: '42703'});
      }
      await checkIdentity(client, number);
    });
  },

  // Queries are queued by the driver and answered in order.
  async queued() {
    await together(async (client, number) => {
      const answers = await Promise.all(
          range(0, 99).map((n) => client.query('SELECT $1::int * 1000 + number AS value FROM me', [n])));
      answers.forEach(({rows}, n) => assert.deepEqual(rows, [{value: n * 1000 + number}]));
    });
  },

  async transactions() {
    await together(async (client, number) => {
      for (const step of range(1, rounds)) {
        await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
        await client.query('INSERT INTO items (id, name) VALUES ($1, $2)', [step, `c${number}`]);
        await client.query('SAVEPOINT same');
        await assert.rejects(
            client.query('INSERT INTO items (id, name) VALUES ($1, $2)', [step, 'twice']), {code: '23505'});
        await assert.rejects(client.query('SELECT 1'), {code: '25P02'});
        await client.query('ROLLBACK TO SAVEPOINT same');
        await checkIdentity(client, number);
        await client.query('COMMIT');
        await client.query('BEGIN READ ONLY');
        await assert.rejects(client.query('DELETE FROM items'), {code: '25006'});
        await client.query('ROLLBACK');
        const {rows} = await client.query('SELECT id, name FROM items ORDER BY id');
        assert.deepEqual(rows, range(1, step).map((id) => ({id, name: `c${number}`})));
      }
    });
  },

  async transfers() {
    await together(async (client, number) => {
      const roll = dice(number);
      for (const step of range(1, 20)) {
        const source = roll(accounts) + 1;
        const target = (source + roll(accounts - 1)) % accounts + 1;
        await client.query('BEGIN');
        for (const [account, change] of [[source, -9], [target, 9]].sort((a, b) => a[0] - b[0])) {
          const before = await client.query(
              {name: 'look', text: 'SELECT balance FROM bank.accounts WHERE id = $1 FOR UPDATE', values: [account]});
          const after = await client.query({
            name: 'move',
            text: 'UPDATE bank.accounts SET balance = balance + $1 WHERE id = $2 RETURNING balance',
            values: [change, account]
          });
          assert.equal(Number(after.rows[0].balance), Number(before.rows[0].balance) + change);
        }
        await client.query('INSERT INTO bank.transfers VALUES ($1, $2, $3, 9)', [number, source, target]);
        await client.query(step % 4 === 0 ? 'ROLLBACK' : 'COMMIT');
      }
    });
  },

  // Portals that are read in pieces: inside a transaction, and outside of one, where they live until the Sync.
  async cursors() {
    await together(async (client, number) => {
      const text = 'SELECT number * 1000 + n AS value FROM me, generate_series(1, $1::int) n ORDER BY n';
      for (const step of range(1, rounds)) {
        if (step % 2) await client.query('BEGIN');
        const cursor = client.query(new Cursor(text, [60]));
        let seen = [];
        for (;;) {
          const rows = await cursor.read(7);
          if (!rows.length) break;
          seen = seen.concat(rows.map((row) => row.value));
        }
        assert.deepEqual(seen, range(1, 60).map((n) => number * 1000 + n));
        await cursor.close();
        const early = client.query(new Cursor(text, [60]));
        assert.equal((await early.read(3)).length, 3);
        await early.close();
        const failing = client.query(new Cursor('SELECT 10 / (5 - n) FROM generate_series(1, 9) n', []));
        await assert.rejects(
            (async () => {
              while ((await failing.read(2)).length)
                ;
            })(),
            {code: '22012'});
        if (step % 2) await client.query('ROLLBACK');
        await checkIdentity(client, number);
      }
    });
  },

  async streams() {
    await together(async (client, number) => {
      for (const step of range(1, 3)) {
        const text =
            "SELECT number * 1000 + n AS value, repeat('x', 500) AS filler " +
            'FROM me, generate_series(1, $1::int) n ORDER BY n';
        let expected = number * 1000;
        for await (const row of client.query(new QueryStream(text, [2000 + step], {batchSize: 100}))) {
          expected += 1;
          assert.equal(row.value, expected);
          assert.equal(row.filler.length, 500);
        }
        assert.equal(expected, number * 1000 + 2000 + step);
        for await (const row of client.query(new QueryStream(text, [2000], {batchSize: 50}))) {
          if (row.value % 1000 === 70) break;  // the stream is destroyed, the portal closed
        }
        await checkIdentity(client, number);
      }
    });
  },

  // The driver's own pool: a request takes whichever connection is free.
  async pool() {
    const pool = new Pool({...server, max: clients, options: '-c search_path=c7', application_name: 'node-pool'});
    pool.on('error', fail);
    await Promise.all(range(0, clients * 10 - 1).map(async (n) => {
      const {rows} = await pool.query({name: 'sum', text: 'SELECT $1::int + number AS value FROM me', values: [n]});
      assert.deepEqual(rows, [{value: n + 7}]);
    }));
    await Promise.all(range(0, clients * 2 - 1).map(async (n) => {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        await client.query(`SET LOCAL search_path = c${n % clients}`);
        await client.query('INSERT INTO items (id, name) VALUES ($1, $2)', [n, 'pool']);
        assert.deepEqual((await client.query('SELECT number FROM me')).rows, [{number: n % clients}]);
        await client.query('COMMIT');
        assert.deepEqual((await client.query('SELECT number FROM me')).rows, [{number: 7}]);
      } finally {
        client.release();
      }
    }));
    for (const number of range(0, clients - 1)) {
      const {rows} = await pool.query(`/* pgweir: primary */ SELECT id FROM c${number}.items ORDER BY id`);
      assert.deepEqual(rows, [{id: number}, {id: number + clients}]);
    }
    await pool.end();
  },

  // Connection 0 listens, the others notify.
  async notifications() {
    const heard = [];
    let done;
    const everything = new Promise((resolve) => {
      done = resolve;
    });
    let ready;
    const listening = new Promise((resolve) => {
      ready = resolve;
    });
    await together(async (client, number) => {
      if (number === 0) {
        client.on('notification', (note) => {
          assert.equal(note.channel, 'node');
          heard.push(note.payload.split(' ').map(Number));
          if (heard.length === (clients - 1) * rounds) done();
        });
        await client.query('LISTEN node');
        ready();
        await everything;
        await checkIdentity(client, number);
        await client.query('UNLISTEN node');
        return;
      }
      await listening;
      for (const step of range(1, rounds)) {
        await client.query("BEGIN; NOTIFY node, 'never'; ROLLBACK");
        await client.query("SELECT pg_notify('node', $1)", [`${number} ${step}`]);
      }
    });
    for (const number of range(1, clients - 1)) {
      assert.deepEqual(heard.filter(([sender]) => sender === number).map(([, step]) => step), range(1, rounds));
    }
    assert.equal(heard.length, (clients - 1) * rounds);
  },
};

function fail(error) {
  console.error(`${scenario}:`, error);
  process.exit(1);
}

if (!(scenario in scenarios)) fail(new Error('no such scenario'));
scenarios[scenario]().then(() => console.log(`${scenario}: ok`), fail);
