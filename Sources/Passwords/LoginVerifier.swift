internal import Synchronization
package import System
internal import TLS

/// What became of a name and a password.
package enum LoginOutcome: Equatable {
    case accepted
    case refused
    /// Too many others wait to be verified, or the system has no thread for that.
    case busy
}

/// Verifies passwords, one after the other, on a thread of its own that runs while there are any: bcrypt is slow on purpose,
/// and must neither hold the server up nor let clients without a password use up the processor.
///
/// - What was right is right again at once, until the hash changes, and with a `LoginFile` across a restart too. Of a password
///   only a keyed hash is kept.
/// - At most one processor is busy, and while passwords are wrong, after the first half minute, only half of the time.
/// - Who is next is fair: see `LoginQueue`.
/// - A name that does not exist costs the same work as one that does.
package final class LoginVerifier: Sendable {
    /// Rest that may be owed, so that those who log in after a start wait half as long while others guess.
    private static let owedRest = Duration.seconds(30)

    private struct State {
        var queue: LoginQueue
        /// Those that there were at the last login.
        var users: [String: PasswordHash] = [:]
        var isRunning = false
        /// By when all the work for wrong passwords is made up for by as much rest.
        var rested = ContinuousClock.now
    }

    private let state: Mutex<State>
    private let keyed: KeyedDigest
    private let file: LoginFile?

    /// - Parameter file: where logins that are right are kept across a restart.
    package init(file: LoginFile? = nil) {
        let known = file?.read() ?? LoginFile.Contents(key: KeyedDigest().key)
        state = Mutex(State(queue: LoginQueue(known: known.logins)))
        keyed = KeyedDigest(key: known.key)
        self.file = file
    }

    /// What is known of a login at once; nil if it must be verified. `wait` is called before that begins, and `finish` on
    /// another thread when it has ended.
    package func verify(
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
        let login = LoginQueue.Login(
            hash: hash,
            password: password,
            userExists: own != nil,
            client: client,
            user: digest([Array(credentials.user.utf8)]),
            digest: digest([Array(credentials.user.utf8), Array(hash.text.utf8), password]),
            credentials: digest([Array(credentials.user.utf8), password]),
            finish: finish
        )
        let displaced: [@Sendable (LoginOutcome) -> Void]? = state.withLock { state in
            if own != nil, state.queue.known[login.user]?.digest == login.digest {
                state.queue.noteRight(from: client)
                return nil
            }
            state.users = users
            // Before another thread can have found out.
            wait()
            let displaced = state.queue.append(login)
            if !state.isRunning { state.isRunning = WorkThread.detach { self.run() } }
            return state.isRunning ? displaced : displaced + state.queue.removeAll()
        }
        guard let displaced else { return .accepted }
        for finish in displaced { finish(.busy) }
        return nil
    }

    private func run() {
        while let login = next() {
            let start = ContinuousClock.now
            let isRight = login.hash.matches(login.password) && login.userExists
            let end = ContinuousClock.now
            let (finishes, rest, news) = state.withLock { state in
                let before = state.queue.known
                let finishes = state.queue.note(login, isRight: isRight)
                if !isRight { state.rested = max(state.rested, start) + start.duration(to: end) * 2 }
                if isRight { state.queue.forget(allBut: Set(state.users.keys.map { digest([Array($0.utf8)]) })) }
                let known = state.queue.known
                return (finishes, end.duration(to: state.rested) - Self.owedRest, known == before ? nil : known)
            }
            if let news { file?.write(LoginFile.Contents(key: keyed.key, logins: news)) }
            for finish in finishes { finish(isRight ? .accepted : .refused) }
            if !isRight, rest > .zero { WorkThread.sleep(until: end + min(rest, .seconds(60))) }
        }
    }

    private func next() -> LoginQueue.Login? {
        state.withLock { state in
            let login = state.queue.next()
            state.isRunning = login != nil
            return login
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

    /// Over the parts and where they end.
    private func digest(_ parts: [[UInt8]]) -> [UInt8] {
        keyed.of(parts.flatMap { part in Array("\(part.count):".utf8) + part })
    }
}
