'use strict'

// A program that uses node-nats-streaming; running.py starts it and says what to do, as JSON in its argument.

const stan = require('node-nats-streaming')

const task = JSON.parse(process.argv[2])
const payload = Buffer.from(task.payload)
const client = stan.connect(task.cluster_id, 'measured', { url: task.url, maxPubAcksInflight: task.window })
let subscription = null

function fail (error) {
  console.error(`Error: ${(error && error.message) || error}`)
  process.exit(1)
}

const ways = {
  // As many publishes as the window are under way; each acknowledgement begins the next one.
  publish (channel, count) {
    return new Promise((resolve) => {
      let sent = 0
      let acknowledged = 0
      const onAcknowledgement = (error) => {
        if (error) fail(error)
        acknowledged += 1
        if (sent < count) {
          sent += 1
          client.publish(channel, payload, onAcknowledgement)
        } else if (acknowledged === count) {
          resolve()
        }
      }
      for (; sent < Math.min(count, task.window); sent += 1) {
        client.publish(channel, payload, onAcknowledgement)
      }
    })
  },

  // The library acknowledges when the listener has returned.
  receive (channel, count, isManual = false) {
    return new Promise((resolve) => {
      const options = client.subscriptionOptions()
        .setDeliverAllAvailable().setMaxInFlight(task.max_in_flight).setManualAckMode(isManual)
      let last = 0
      subscription = client.subscribe(channel, options)
      subscription.on('error', fail)
      subscription.on('message', (message) => {
        const sequence = message.getSequence()
        if (sequence !== last + 1 || message.isRedelivered() || message.getRawData().length !== payload.length) {
          fail(`sequence ${sequence} behind ${last}`)
        }
        last = sequence
        if (isManual) message.ack()
        if (sequence === count) resolve()
      })
    })
  },

  receive_manually (channel, count) {
    return ways.receive(channel, count, true)
  }
}

// Close the subscription of the last run, if there is one.
function end () {
  return new Promise((resolve) => {
    if (subscription === null) return resolve()
    subscription.on('closed', resolve)
    subscription.close()
    subscription = null
  })
}

client.on('error', fail)
client.on('connect', async () => {
  const work = ways[task.way]
  await work(task.warm_up_channel, task.warm_up_count)
  await end()
  const began = process.hrtime.bigint()
  const beganCpu = process.cpuUsage()
  await work(task.channel, task.count)
  const took = Number(process.hrtime.bigint() - began) / 1e9
  const tookCpu = process.cpuUsage(beganCpu)
  console.log(JSON.stringify({ seconds: took, cpu_seconds: (tookCpu.user + tookCpu.system) / 1e6 }))
  process.stdin.on('end', async () => {
    await end()
    client.close()
  })
  process.stdin.resume()
})
client.on('close', () => process.exit(0))
