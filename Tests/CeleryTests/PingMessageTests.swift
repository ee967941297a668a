import JSON
import System
import Testing

@testable import Celery

@Suite struct PingMessageTests {
    private let address = PingMessage.Address(pattern: "celerybeat@*", replyKey: "a \"list\"\n")

    @Test(arguments: ["", "f", "fo", "foo", "foob", "fooba", "foobar", "\u{0}ÿ\u{1f600}"])
    func base64ThereAndBack(text: String) {
        #expect(Base64.decode(Base64.encode(Array(text.utf8))) == Array(text.utf8))
    }

    @Test func base64AsOthersWriteIt() {
        // RFC 4648, section 10.
        #expect(Base64.encode(Array("fooba".utf8)) == "Zm9vYmE=")
        #expect(Base64.encode(Array("foob".utf8)) == "Zm9vYg==")
        #expect(Base64.decode("Zm9vYg==").map { String(decoding: $0, as: UTF8.self) } == "foob")
        for text in ["Zm9vYg=", "Zm9v*g==", "====", "Z==="] { #expect(Base64.decode(text) == nil, "\(text)") }
    }

    @Test func aPing() throws {
        let envelope = try #require(JSONParser.parse(Array(PingMessage.envelope(address, ticket: "t\\1").utf8)))
        #expect(envelope["properties"]?["delivery_tag"]?.string == "t\\1")
        let body = try #require(envelope["body"]?.string.flatMap { Base64.decode($0) }.flatMap { JSONParser.parse($0) })
        #expect(
            body
                == .object([
                    "method": .string("ping"), "arguments": .object([:]), "destination": .null,
                    "pattern": .string("celerybeat@*"), "matcher": .string("glob"), "ticket": .string("t\\1"),
                    "reply_to": .object(["exchange": .string(""), "routing_key": .string("a \"list\"\n")]),
                ])
        )
    }

    private func ticket(_ body: String, headers: String = #"{"ticket": "7"}"#) -> String? {
        let envelope = #"{"body": "\#(Base64.encode(Array(body.utf8)))", "headers": \#(headers)}"#
        return PingMessage.ticket(ofAnswer: Array(envelope.utf8), to: address)
    }

    @Test func answers() {
        #expect(ticket(#"{"celerybeat@host": {"ok": "pong"}}"#) == "7")
        #expect(ticket(#"{"worker@host": {"ok": "pong"}}"#) == nil)
        #expect(ticket(#"{"celerybeat@host": {"error": "no"}}"#) == nil)
        #expect(ticket(#"{"celerybeat@host": {"ok": "pong"}}"#, headers: "{}") == nil)
        #expect(ticket(#"{"celerybeat@host": {"ok": "pong"}}"#, headers: #"{"ticket": 7}"#) == nil)
        #expect(ticket("[]") == nil)
        #expect(ticket("\u{0}") == nil)
        #expect(PingMessage.ticket(ofAnswer: Array("x".utf8), to: address) == nil)
        #expect(PingMessage.ticket(ofAnswer: Array(#"{"body": "*"}"#.utf8), to: address) == nil)
    }
}
