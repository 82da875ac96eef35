'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { Outcome } = require('./outcome');

/**
 * The database of one service: documents with versions, a file for each version, never overwritten.
 *
 *     <directory>/<collection>/<id>/<version>.json       { "document": {...}, "event": { "subject", "data" } or null }
 *     <directory>/<collection>/<id>/<version>.published  the event of that version has reached the bus
 *
 * All instances of a service share it, without locks: a version is written under a temporary name and then linked to
 * its real one, which fails if another instance was quicker. So a version exists whole or not at all, whoever is
 * killed or stopped meanwhile, and "was I first?" is a question with an answer.
 *
 * An event that a change causes is stored in the same file as the change: the two cannot come apart (see outbox.js).
 */
class Database {
  constructor(directory) {
    this.directory = directory;
    this.scratch = path.join(directory, 'tmp');
    this.scratchCount = 0;
    this.outgoing = []; // the events of the versions that this instance wrote, until outbox.js has published them
    fs.mkdirSync(this.scratch, { recursive: true });
  }

  /** The newest version of a document, or undefined. */
  latest(collection, id) {
    const number = this.#versionNumbers(collection, id).at(-1);
    return number && this.#read(collection, id, number).document;
  }

  /** The newest version of every document of a collection. */
  all(collection) {
    return this.#ids(collection).map((id) => this.latest(collection, id)).filter(Boolean);
  }

  /** Everything, with all versions: { collection: { id: [document, ...] } }. */
  contents() {
    const contents = {};
    for (const collection of this.#collections()) {
      contents[collection] = {};
      for (const id of this.#ids(collection)) {
        const numbers = this.#versionNumbers(collection, id);
        contents[collection][id] = numbers.map((number) => this.#read(collection, id, number).document);
      }
    }
    return contents;
  }

  /**
   * Stores a version that directly follows the newest one. Returns false, and changes nothing, if that version is
   * there already.
   */
  append(collection, document, event = null) {
    const folder = this.#folder(collection, document.id);
    fs.mkdirSync(folder, { recursive: true });
    const scratch = path.join(this.scratch, `${process.pid}-${++this.scratchCount}`);
    writeSynced(scratch, JSON.stringify({ document, event }));
    try {
      fs.linkSync(scratch, path.join(folder, `${document.version}.json`));
      if (event) this.outgoing.push(this.#outgoingEvent(folder, document.version, event));
      return true;
    } catch (error) {
      if (error.code === 'EEXIST') return false;
      throw error;
    } finally {
      fs.unlinkSync(scratch);
    }
  }

  /**
   * Changes the newest version. `change(document)` returns the fields to change, or null to leave all as it is;
   * `eventOf(document)` the event to publish. If another instance was quicker, its version is looked at instead.
   * Returns the new version, or null if there is none.
   */
  update(collection, id, change, eventOf = () => null) {
    for (;;) {
      const current = this.latest(collection, id);
      const fields = current && change(current);
      if (!fields) return null;
      const next = { ...current, ...fields, version: current.version + 1 };
      if (this.append(collection, next, eventOf(next))) return next;
    }
  }

  /** How version `version` relates to what is stored: only the version after the newest one may be applied. */
  judge(collection, { id, version }) {
    const stored = this.#versionNumbers(collection, id).at(-1) ?? 0;
    if (version <= stored) return Outcome.KNOWN;
    return version === stored + 1 ? Outcome.APPLIED : Outcome.EARLY;
  }

  /** Stores a version that another service published, if it is the next one. */
  apply(collection, document) {
    const outcome = this.judge(collection, document);
    if (outcome !== Outcome.APPLIED) return outcome;
    return this.append(collection, document) ? Outcome.APPLIED : Outcome.KNOWN;
  }

  /** Looks for events that have not reached the bus, whoever wrote them, and makes them our own to publish. */
  adoptUnpublished() {
    this.outgoing = [];
    for (const collection of this.#collections()) {
      for (const id of this.#ids(collection)) {
        for (const number of this.#versionNumbers(collection, id)) {
          const { event } = this.#read(collection, id, number);
          const outgoing = event && this.#outgoingEvent(this.#folder(collection, id), number, event);
          if (outgoing && !fs.existsSync(outgoing.marker)) this.outgoing.push(outgoing);
        }
      }
    }
  }

  markPublished({ marker }) {
    fs.writeFileSync(marker, '');
  }

  #outgoingEvent(folder, version, { subject, data }) {
    return { subject, data, marker: path.join(folder, `${version}.published`) };
  }

  #collections() {
    return names(this.directory).filter((name) => name !== 'tmp');
  }

  #ids(collection) {
    return names(path.join(this.directory, collection)).map(decodeURIComponent);
  }

  #versionNumbers(collection, id) {
    return names(this.#folder(collection, id))
      .filter((name) => name.endsWith('.json'))
      .map((name) => Number.parseInt(name, 10))
      .sort((a, b) => a - b);
  }

  #read(collection, id, number) {
    return JSON.parse(fs.readFileSync(path.join(this.#folder(collection, id), `${number}.json`), 'utf8'));
  }

  /** An id may be anything; a folder name may not. */
  #folder(collection, id) {
    return path.join(this.directory, collection, encodeURIComponent(id).replaceAll('.', '%2E'));
  }
}

function writeSynced(name, text) {
  const file = fs.openSync(name, 'w');
  try {
    fs.writeFileSync(file, text);
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
}

function names(directory) {
  try {
    return fs.readdirSync(directory).sort();
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

module.exports = { Database };
