internal import CGnuTLS
internal import Glibc
internal import Synchronization

/// What became of a name and a password.
enum LoginOutcome: Equatable {
    case accepted
    case refused
    /// Too many others wait to be verified.
    case busy
}

/// Verifies passwords, one after the other, on a thread of its own that runs while there are any: bcrypt is slow on purpose,
/// and must neither hold the server up nor let clients without a password use up the processor.
///
/// - What was right is right again at once, until the hash changes. Of a password only a keyed hash is kept.
/// - At most one processor is busy, and while passwords are wrong only half of the time.
/// - Few may wait, and of each address fewer, so that one client's guesses leave room for others.
/// - A name that does not exist costs the same work as one that does.
package final class LoginVerifier: Sendable {
    private static let maximumWaiting = 32
    private static let maximumWaitingOfAddress = 4
    private static let maximumRemembered = 100

    private struct Login: Sendable {
        let hash: PasswordHash
        let password: [UInt8]
        let userExists: Bool
        let client: ClientAddress
        let digest: [UInt8]
        let finish: @Sendable (LoginOutcome) -> Void
    }

    private struct State {
        var accepted: Set<[UInt8]> = []
        var waiting: [Login] = []
        var isRunning = false
    }

    private let state = Mutex(State())
    private let key: [UInt8]

    package init() {
        var key = [UInt8](repeating: 0, count: 32)
        let status = gnutls_rnd(GNUTLS_RND_KEY, &key, key.count)
        precondition(status == GNUTLS_E_SUCCESS, "the system has no random numbers")
        self.key = key
    }

    /// What is known of a login at once; nil if it must be verified. `wait` is called before that begins, and `finish` on
    /// another thread when it has ended.
    func verify(
        _ credentials: BasicCredentials,
        amongst users: [String: PasswordHash],
        from client: ClientAddress,
        wait: () -> Void,
        finish: @escaping @Sendable (LoginOutcome) -> Void
    ) -> LoginOutcome? {
        let own = users[credentials.user]
        guard let hash = own ?? standIn(for: credentials.user, amongst: users) else { return .refused }
        // Of what goes beyond, bcrypt sees nothing, and one password must not be remembered in many forms.
        let password = Array(credentials.password.prefix(PasswordHash.passwordBytes))
        let digest = digest([Array(credentials.user.utf8), Array(hash.text.utf8), password])
        let login = Login(
            hash: hash,
            password: password,
            userExists: own != nil,
            client: client,
            digest: digest,
            finish: finish
        )
        return state.withLock { state in
            if own != nil, state.accepted.contains(digest) { return .accepted }
            guard state.waiting.count < Self.maximumWaiting,
                state.waiting.count(where: { $0.client == client }) < Self.maximumWaitingOfAddress
            else { return .busy }
            wait()
            state.waiting.append(login)
            if !state.isRunning {
                state.isRunning = true
                WorkThread.detach { self.run() }
            }
            return nil
        }
    }

    private func run() {
        while let login = next() {
            let start = ContinuousClock.now
            let matches = login.hash.matches(login.password)
            if matches, login.userExists {
                state.withLock { state in
                    if state.accepted.count >= Self.maximumRemembered { state.accepted.removeFirst() }
                    state.accepted.insert(login.digest)
                }
                login.finish(.accepted)
            } else {
                login.finish(.refused)
                let microseconds = start.duration(to: .now) / .microseconds(1)
                usleep(UInt32(min(microseconds, 10_000_000)))
            }
        }
    }

    private func next() -> Login? {
        state.withLock { state in
            guard !state.waiting.isEmpty else {
                state.isRunning = false
                return nil
            }
            return state.waiting.removeFirst()
        }
    }

    /// The hash to verify a password of nobody's against: always the same for one name, so that the work to be seen is
    /// that of some user.
    private func standIn(for user: String, amongst users: [String: PasswordHash]) -> PasswordHash? {
        guard !users.isEmpty else { return nil }
        let hashes = users.values.sorted { $0.text < $1.text }
        let number = digest([Array(user.utf8)]).prefix(4).reduce(0) { $0 << 8 | Int($1) }
        return hashes[number % hashes.count]
    }

    /// HMAC-SHA256 over the parts and where they end.
    private func digest(_ parts: [[UInt8]]) -> [UInt8] {
        let bytes = parts.flatMap { part in Array("\(part.count):".utf8) + part }
        var digest = [UInt8](repeating: 0, count: 32)
        let status = gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, key.count, bytes, bytes.count, &digest)
        precondition(status == GNUTLS_E_SUCCESS, "GnuTLS knows no HMAC-SHA256")
        return digest
    }
}
