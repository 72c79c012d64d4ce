// amqplib as people use it: promises and callbacks' twin. usage: node queue_amqplib.js HOST; one line at the end, or an assertion.
"use strict";
const assert = require("node:assert/strict");
const amqp = require("amqplib");

const host = process.argv[2];
const messages = (n) => Array.from({ length: n }, (_, i) => `message ${i}`);

async function workQueue(connection) {
    const publisher = await connection.createConfirmChannel();
    const { queue } = await publisher.assertQueue("js-work", { durable: true });
    for (const text of messages(500)) publisher.sendToQueue(queue, Buffer.from(text), { persistent: true });
    await publisher.waitForConfirms();
    const consumer = await connection.createChannel();
    await consumer.prefetch(10);
    const got = [];
    await new Promise((resolve) => {
        consumer.consume(queue, (message) => {
            got.push(message.content.toString());
            consumer.ack(message);
            if (got.length === 500) resolve();
        });
    });
    assert.deepEqual(got, messages(500));
    assert.equal((await publisher.checkQueue(queue)).messageCount, 0);
    await consumer.close();
    await publisher.deleteQueue(queue);
    await publisher.close();
}

async function topics(connection) {
    const channel = await connection.createChannel();
    await channel.assertExchange("js-logs", "topic", { durable: false });
    const { queue } = await channel.assertQueue("", { exclusive: true });
    await channel.bindQueue(queue, "js-logs", "*.critical");
    channel.publish("js-logs", "kernel.critical", Buffer.from("yes"), { headers: { level: 3, tags: ["a", "b"] } });
    channel.publish("js-logs", "kernel.info", Buffer.from("no"));
    await channel.checkQueue(queue);
    const message = await channel.get(queue, { noAck: true });
    assert.equal(message.content.toString(), "yes");
    assert.deepEqual(message.properties.headers, { level: 3, tags: ["a", "b"] });
    assert.equal(await channel.get(queue), false);
    await channel.deleteExchange("js-logs");
    await channel.close();
}

async function remoteCall(connection) {
    const channel = await connection.createChannel();
    await channel.assertQueue("js-rpc", { autoDelete: true });
    await channel.consume("js-rpc", (message) => {
        channel.sendToQueue(message.properties.replyTo, Buffer.from(message.content.toString().toUpperCase()), {
            correlationId: message.properties.correlationId,
        });
        channel.ack(message);
    });
    const caller = await connection.createChannel();
    const answer = await new Promise((resolve) => {
        caller.consume("amq.rabbitmq.reply-to", resolve, { noAck: true }).then(() => {
            caller.sendToQueue("js-rpc", Buffer.from("ping"), { replyTo: "amq.rabbitmq.reply-to", correlationId: "7" });
        });
    });
    assert.equal(answer.content.toString(), "PING");
    assert.equal(answer.properties.correlationId, "7");
    await caller.close();
    await channel.close();
}

async function errors(connection) {
    const channel = await connection.createChannel();
    const failed = new Promise((resolve) => channel.on("error", resolve));
    await assert.rejects(channel.checkQueue("js-missing"), /404 \(NOT-FOUND\)/);
    assert.match((await failed).message, /NOT_FOUND - no queue 'js-missing' in vhost '\/'/);
}

async function main() {
    const connection = await amqp.connect(`amqp://guest:guest@${host}`, { heartbeat: 5 });
    await workQueue(connection);
    await topics(connection);
    await remoteCall(connection);
    await errors(connection);
    await connection.close();
    await assert.rejects(amqp.connect(`amqp://guest:wrong@${host}`), /ACCESS_REFUSED|403/);
    console.log(`amqplib ${require("amqplib/package.json").version}: work queue with confirms, topics, direct reply, errors`);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
