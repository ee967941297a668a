internal import Glibc
internal import JSON
internal import System

/// Celery's ping, as its remote control sends it. Source: kombu/pidbox.py, `Mailbox._publish` and `Node.handle_message`;
/// kombu/transport/virtual/base.py for the envelope.
///
///     PUBLISH /0.celery.pidbox {"body": "<base64>", "content-type": "application/json", …}
///     body    {"method": "ping", "pattern": "celerybeat@*", "matcher": "glob", "reply_to": {…}, …}
///     answer  {"body": "<base64>", …} with {"celerybeat@host": {"ok": "pong"}} and the ticket among its headers,
///             pushed to the list that `reply_to` names
enum PingMessage {
    /// Whom a ping is for and where the answers go.
    struct Address: Equatable, Sendable {
        /// Which nodes shall answer, as a shell would match their names.
        var pattern: String
        /// The list to which they push their answers.
        var replyKey: String
    }

    /// The envelope of one ping.
    static func envelope(_ address: Address, ticket: String) -> String {
        let replyTo = #"{"exchange": "", "routing_key": \#(JSONText.quoted(address.replyKey))}"#
        let body = #"""
            {"method": "ping", "arguments": {}, "destination": null, "pattern": \#(JSONText.quoted(address.pattern)), \#
            "matcher": "glob", "ticket": \#(JSONText.quoted(ticket)), "reply_to": \#(replyTo)}
            """#
        return #"""
            {"body": "\#(Base64.encode(Array(body.utf8)))", "content-encoding": "utf-8", \#
            "content-type": "application/json", "headers": {"clock": 1}, \#
            "properties": {"delivery_mode": 2, "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""}, \#
            "priority": 0, "body_encoding": "base64", "delivery_tag": \#(JSONText.quoted(ticket))}}
            """#
    }

    /// The ticket of the ping that an answer belongs to; nil for anything that is no answer of a node that was asked.
    static func ticket(ofAnswer envelope: [UInt8], to address: Address) -> String? {
        guard let envelope = JSONParser.parse(envelope), let body = envelope["body"]?.string,
            let bytes = Base64.decode(body), case .object(let nodes)? = JSONParser.parse(bytes),
            // Old workers know no pattern and answer too.
            nodes.contains(where: { $0.value["ok"] != nil && matches($0.key, address.pattern) })
        else { return nil }
        return envelope["headers"]?["ticket"]?.string
    }

    private static func matches(_ name: String, _ pattern: String) -> Bool {
        fnmatch(pattern, name, 0) == 0
    }
}
