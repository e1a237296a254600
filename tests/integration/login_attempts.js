// Logs in by node-postgres: reads a JSON list of configurations (of pg.Client) from the standard input, and prints one of
// [refusal or null, SQLSTATE or null, encrypted, current_user], in the same order. `files`: PEM files of the section ssl.
'use strict';
const fs = require('node:fs');
const {Client} = require('pg');

// A refusal that the driver does not notice is told by the end of the time.
function late() {
  return new Promise((_, reject) => setTimeout(reject, 15000, new Error('no verdict in 15 s')));
}

async function attempt(given) {
  const config = {...given};
  if (given.files) {
    config.ssl = {...given.ssl};
    for (const [key, file] of Object.entries(given.files)) config.ssl[key] = fs.readFileSync(file, 'utf8');
  }
  const client = new Client(config);
  client.on('error', () => {});
  try {
    await Promise.race([client.connect(), late()]);
    const {rows} = await client.query('SELECT current_user::text AS name');
    return [null, null, Boolean(client.connection.stream.encrypted), rows[0].name];
  } catch (error) {
    return [String(error.message || error.code), error.code || null, false, null];
  } finally {
    client.end().catch(() => {});  // not waited for: after some refusals it never ends
  }
}

async function main() {
  const all = JSON.parse(fs.readFileSync(0, 'utf8'));
  const results = new Array(all.length);
  let next = 0;
  const work = async () => {
    while (next < all.length) {
      const mine = next++;
      results[mine] = await attempt(all[mine]);
    }
  };
  await Promise.all(Array.from({length: 8}, work));
  fs.writeFileSync(1, JSON.stringify(results));
  process.exit(0);
}

main();
