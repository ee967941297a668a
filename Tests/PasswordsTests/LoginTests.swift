import Dispatch
import Synchronization
import Testing

@testable import Passwords
@testable import System

/// Of the password "fakepassword", at the lowest cost.
private let hash = "$2y$04$BHaAXfUKE8yk5CJhFhjsAu8IpniThjvLOQSS2BPJLknendIKo9.D2"

@Suite struct PasswordHashTests {
    // From the tests of OpenBSD's and of Go's bcrypt.
    @Test(arguments: [
        ("$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkY8jIucDrjc8deX1s.", "", false),
        ("$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkY8jIucDrjc8deX1s.a", "", false),
        ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", true),
        ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*", true),
        ("$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*", true),
        ("$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*", true),
        ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U", false),
        ("$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U", true),
    ])
    func passwords(hash: String, password: String, matches: Bool) {
        #expect(PasswordHash(hash)?.matches(Array(password.utf8)) ?? false == matches)
    }

    @Test func onlyTheFirst72BytesCount() throws {
        let long =
            "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored"
        let hash = try #require(PasswordHash("$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"))
        #expect(hash.matches(Array(long.utf8)))
        #expect(hash.matches(Array(long.utf8.prefix(72))))
        #expect(!hash.matches(Array(long.utf8.prefix(71))))
    }

    @Test func aZeroByteDoesNotEndAPassword() throws {
        let hash = try #require(PasswordHash("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"))
        #expect(!hash.matches(Array("U*U\0".utf8)))
        #expect(!hash.matches(Array("U*U\0U*U".utf8)))
    }

    @Test(arguments: [
        "", "plain", "$2y$04$", "$1$04" + String(repeating: "a", count: 55), String(repeating: "é", count: 30),
        "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2a$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2a$17$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2a$5a$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe!",
    ])
    func whatIsNone(text: String) {
        #expect(PasswordHash(text) == nil)
    }
}

@Suite struct BasicCredentialsTests {
    // The first from RFC 7617.
    @Test(arguments: [
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"),
        ("basic   YTpiOmM=", "a", "b:c"), ("BASIC Og==", "", ""), ("Basic dGVzdDoxMjPCow==", "test", "123£"),
    ])
    func logins(header: String, user: String, password: String) throws {
        let found = try #require(BasicCredentials(authorization: header))
        #expect(found.user == user)
        #expect(found.password == Array(password.utf8))
    }

    @Test(arguments: ["", "Basic", "Basic ", "Basic YQ==", "Basic !", "Digest YTpi", "YTpi", "Basic YTpi YTpi!"])
    func whatIsNone(header: String) {
        #expect(BasicCredentials(authorization: header) == nil)
    }
}

extension LoginVerifier {
    /// What is known of a login at once, and otherwise what is found out.
    func outcome(
        of credentials: BasicCredentials,
        amongst users: [String: PasswordHash]
    ) async -> (known: Bool, outcome: LoginOutcome) {
        await withCheckedContinuation { continuation in
            let known = verify(credentials, amongst: users, from: ClientAddress(ipv4: 1)) {
            } finish: {
                continuation.resume(returning: (false, $0))
            }
            if let known { continuation.resume(returning: (true, known)) }
        }
    }
}

@Suite struct LoginVerifierTests {
    private let verifier = LoginVerifier()
    private let users: [String: PasswordHash]
    private let client = ClientAddress(ipv4: 1)

    init() throws {
        users = ["user": try #require(PasswordHash(hash))]
    }

    private func credentials(_ user: String, _ password: String) -> BasicCredentials {
        BasicCredentials(user: user, password: Array(password.utf8))
    }

    private func login(_ user: String, _ password: String) async -> (known: Bool, outcome: LoginOutcome) {
        await verifier.outcome(of: credentials(user, password), amongst: users)
    }

    @Test func whatWasRightIsKnown() async throws {
        #expect(await login("user", "fakepassword") == (false, .accepted))
        #expect(await login("user", "fakepassword") == (true, .accepted))
    }

    @Test func whatWasWrongIsVerifiedAgain() async throws {
        for _ in 0..<2 {
            #expect(await login("user", "wrong") == (false, .refused))
            #expect(await login("nobody", "fakepassword") == (false, .refused), "as much work as for a user")
        }
    }

    @Test func aHashThatChangesIsNotKnown() async throws {
        #expect(await login("user", "fakepassword").outcome == .accepted)
        let other = ["user": try #require(PasswordHash("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"))]
        let credentials = credentials("user", "fakepassword")
        #expect(await verifier.outcome(of: credentials, amongst: other) == (false, .refused))
    }

    @Test func whoMustGoIsTold() {
        // The first is verified and keeps the thread, so that whoever comes meanwhile must wait.
        let isVerified = DispatchSemaphore(value: 0)
        let mayGoOn = DispatchSemaphore(value: 0)
        let busy = Atomic(0)
        func ask(_ numbers: Range<Int>) {
            for number in numbers {
                let known = verifier.verify(credentials("user", "\(number)"), amongst: users, from: client) {
                } finish: {
                    guard $0 != .busy else {
                        busy.add(1, ordering: .relaxed)
                        return
                    }
                    isVerified.signal()
                    mayGoOn.wait()
                }
                #expect(known == nil)
            }
        }
        ask(0..<1)
        isVerified.wait()
        ask(1..<LoginQueue.maximumOfAddress + 20)
        #expect(busy.load(ordering: .relaxed) == 19)
        for _ in 0...LoginQueue.maximumOfAddress { mayGoOn.signal() }
    }
}
