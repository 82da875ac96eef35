'use strict';

const crypto = require('node:crypto');
const path = require('node:path');
const readline = require('node:readline');
const { setTimeout: pause } = require('node:timers/promises');
const nats = require('node-nats-streaming');
const { Database } = require('./database');
const { Outbox } = require('./outbox');
const { Publisher } = require('./publisher');
const { rebuild } = require('./replay');

const CONNECT_RETRY_MS = 200;
const CONNECT_DEADLINE_MS = 20_000;
const CLOSE_DEADLINE_MS = 3_000;

/**
 * One instance of a service: its connection, its database, its listeners, and the commands it takes.
 *
 * It reads one command per line from standard input, {"do": "create_ticket", ...}, and says what happens, one JSON
 * document per line, on standard output. It ends when standard input ends, and with SIGTERM or SIGINT.
 *
 * Settings (environment): BUS_URL, CLUSTER_ID, CLIENT_ID, DATABASE (a directory), ACK_WAIT (seconds).
 */
class Service {
  /** `definition`: name, listeners (classes), commands, chapters (for --rebuild), start (called when all is ready). */
  constructor(definition) {
    const { env } = process;
    this.definition = definition;
    this.name = definition.name;
    this.busUrl = env.BUS_URL ?? 'nats://localhost:4222';
    this.clusterId = env.CLUSTER_ID ?? 'ticketing';
    this.clientId = env.CLIENT_ID ?? `${this.name}-${crypto.randomBytes(4).toString('hex')}`;
    this.ackWaitMs = 1000 * Number(env.ACK_WAIT ?? 30);
    this.database = new Database(env.DATABASE ?? path.join(__dirname, '..', 'data', this.name));
    this.subjectToHold = null;
    this.letGo = () => {};
    this.isClosing = false;
  }

  async run() {
    process.on('SIGTERM', () => this.close());
    process.on('SIGINT', () => this.close());
    this.stan = await this.#connect();
    this.stan.on('connection_lost', (error) => this.#giveUp(`lost the bus: ${error.message ?? error}`));
    this.stan.on('close', () => this.#giveUp('the connection to the bus was closed'));
    this.publisher = new Publisher(this.stan);
    this.outbox = new Outbox(this.database, this.publisher);
    if (process.argv.includes('--rebuild')) {
      this.say('rebuilt', { channels: await rebuild(this.stan, this.database, this.definition.chapters) });
    }
    await this.outbox.recover();
    await Promise.all(this.definition.listeners.map((ListenerClass) => new ListenerClass(this).listen()));
    this.definition.start?.(this);
    this.#takeCommands();
    this.say('ready', { service: this.name, client: this.clientId });
  }

  say(what, details = {}) {
    process.stdout.write(`${JSON.stringify({ say: what, ...details })}\n`);
  }

  /** For the story: an instance that was asked to hold an event stops here, in the middle of it. */
  holdIfAsked(event) {
    if (event.subject !== this.subjectToHold) return undefined;
    this.subjectToHold = null;
    this.say('holding', event);
    return new Promise((resolve) => {
      this.letGo = resolve;
    });
  }

  /** Says goodbye to the bus; the durable stays. Events that are not acknowledged go to the other instance. */
  close() {
    if (this.isClosing) return;
    this.isClosing = true;
    setTimeout(() => process.exit(0), CLOSE_DEADLINE_MS);
    if (!this.stan) process.exit(0);
    this.stan.on('close', () => process.exit(0));
    this.stan.close();
  }

  /** Commands that every service knows. */
  #commonCommands() {
    return {
      show: () => this.database.contents(),
      publish: ({ subject, data }) => this.publisher.publish(subject, data),
      hold: ({ subject }) => {
        this.subjectToHold = subject;
      },
      release: () => {
        this.subjectToHold = null;
        this.letGo();
      },
    };
  }

  #takeCommands() {
    const commands = { ...this.#commonCommands(), ...this.definition.commands };
    const lines = readline.createInterface({ input: process.stdin });
    lines.on('line', async (line) => {
      if (line.trim() === '') return;
      let call = null;
      try {
        const { do: name, call: number, ...details } = JSON.parse(line);
        call = number;
        if (!Object.hasOwn(commands, name)) {
          throw new Error(`unknown command ${name}; there are ${Object.keys(commands).join(', ')}`);
        }
        const result = await commands[name](details, this);
        await this.outbox.flush();
        this.say('reply', { call, result });
      } catch (error) {
        this.say('reply', { call, error: error.message });
      }
    });
    lines.on('close', () => this.close());
  }

  /** Services and bus may start in any order, so try until the bus is there. */
  async #connect() {
    const deadline = Date.now() + CONNECT_DEADLINE_MS;
    for (;;) {
      try {
        return await connectOnce(this.clusterId, this.clientId, this.busUrl);
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await pause(CONNECT_RETRY_MS);
      }
    }
  }

  /** Without the bus a service is of no use: end, and let whoever started it start it again. */
  #giveUp(why) {
    if (this.isClosing) return;
    process.stderr.write(`${this.clientId}: ${why}\n`);
    process.exit(1);
  }
}

function connectOnce(clusterId, clientId, url) {
  return new Promise((resolve, reject) => {
    const stan = nats.connect(clusterId, clientId, { url });
    stan.on('connect', () => resolve(stan));
    stan.on('error', (error) => reject(error instanceof Error ? error : new Error(error)));
  });
}

/** Runs a service until it is told to stop. */
function serve(definition) {
  const service = new Service(definition);
  service.run().catch((error) => {
    process.stderr.write(`${service.clientId}: ${error.message ?? error}\n`);
    process.exit(1);
  });
}

module.exports = { serve };
