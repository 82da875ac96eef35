'use strict'

// One client of node-nats-streaming, led by a test: commands come as lines of JSON on standard input, and everything
// that happens to the client goes out as lines of JSON on standard output.

const readline = require('readline')
const stan = require('node-nats-streaming')

let client = null
const subscriptions = new Map()
const messages = new Map()

function tell (event, facts) {
  process.stdout.write(JSON.stringify({ event, ...facts }) + '\n')
}

// The library gives errors of the server as plain texts in some places.
function text (error) {
  return error ? error.message || String(error) : ''
}

const commands = {
  connect ({ cluster, clientId, options }) {
    client = stan.connect(cluster, clientId, options)
    for (const event of ['connect', 'disconnect', 'reconnecting', 'reconnect']) {
      client.on(event, () => tell(event))
    }
    for (const event of ['close', 'error', 'connection_lost']) {
      client.on(event, (error) => tell(event, { error: text(error) }))
    }
  },

  publish ({ subject, data }) {
    for (const one of data) {
      client.publish(subject, one, (error) => tell('published', { data: one, error: text(error) }))
    }
  },

  // `setters` are the names of methods of SubscriptionOptions, each with its arguments.
  subscribe ({ name, subject, group, setters }) {
    const options = client.subscriptionOptions()
    for (const [setter, values] of Object.entries(setters)) {
      options[setter](...values)
    }
    const subscription = group ? client.subscribe(subject, group, options) : client.subscribe(subject, options)
    subscriptions.set(name, subscription)
    for (const event of ['ready', 'unsubscribed', 'closed', 'timeout', 'error']) {
      subscription.on(event, (error) => tell(event, { name, error: text(error) }))
    }
    subscription.on('message', (message) => {
      const sequence = message.getSequence()
      messages.set(`${name} ${sequence}`, message)
      tell('message', {
        name,
        sequence,
        subject: message.getSubject(),
        data: message.getData(),
        redelivered: message.isRedelivered(),
        redeliveries: message.getRedeliveryCount(),
        time: message.getTimestamp().getTime()
      })
    })
  },

  ack ({ name, sequence }) {
    messages.get(`${name} ${sequence}`).ack()
  },

  unsubscribe ({ name }) {
    subscriptions.get(name).unsubscribe()
  },

  closeSubscription ({ name }) {
    subscriptions.get(name).close()
  },

  close () {
    client.close()
  }
}

readline.createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line)
    commands[command.do](command)
  })
  .on('close', () => process.exit(0))
tell('started')
