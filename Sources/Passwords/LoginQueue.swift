internal import System

/// Logins that wait to be verified, and which of them is next.
///
/// Clients that guess must not keep out those that know their password. Of two verifications, one is of the login that has
/// waited longest, whoever sent it: so each comes after at most twice as many as were there before it. The other is of the
/// address that is the least suspect: one from which a right password has come, then the one with the fewest wrong ones, then
/// the one that came last. A guesser's second password is therefore behind the first of everybody else.
struct LoginQueue {
    struct Login {
        let hash: PasswordHash
        let password: [UInt8]
        let userExists: Bool
        let client: ClientAddress
        /// Of the user.
        let user: [UInt8]
        /// Of the user, the hash and the password.
        let digest: [UInt8]
        /// Of the user and the password.
        let credentials: [UInt8]
        /// Those that wait for the outcome: the same login may come again while it waits.
        var finishes: [@Sendable (LoginOutcome) -> Void]
        fileprivate var arrival = 0

        init(
            hash: PasswordHash,
            password: [UInt8],
            userExists: Bool,
            client: ClientAddress,
            user: [UInt8],
            digest: [UInt8],
            credentials: [UInt8],
            finish: @escaping @Sendable (LoginOutcome) -> Void
        ) {
            self.hash = hash
            self.password = password
            self.userExists = userExists
            self.client = client
            self.user = user
            self.digest = digest
            self.credentials = credentials
            finishes = [finish]
        }
    }

    private struct Standing {
        var wrongPasswords = 0
        var hasBeenRight = false
    }

    /// As many as there may be connections: a client does not wait for two at once on one.
    static let maximum = 512
    static let maximumOfAddress = 128
    private static let maximumAddresses = 4096

    /// In the order in which they came.
    private var waiting: [Login] = []
    private var standings: [ClientAddress: Standing] = [:]
    /// By user.
    private(set) var known: [[UInt8]: KnownLogin]
    private var arrivals = 0
    private var isOldestNext = true

    /// - Parameter known: from before a restart, by user.
    init(known: [[UInt8]: KnownLogin] = [:]) {
        self.known = known
    }

    var count: Int { waiting.count }

    /// Puts a login at the end; where there are too many, one has to go, of the address that has the most.
    /// - Returns: whom to tell that.
    mutating func append(_ login: Login) -> [@Sendable (LoginOutcome) -> Void] {
        var login = login
        arrivals += 1
        login.arrival = arrivals
        if let index = waiting.firstIndex(where: { $0.client == login.client && $0.digest == login.digest }) {
            waiting[index].finishes += login.finishes
            waiting[index].arrival = arrivals
            return []
        }
        let own = waiting.count(where: { $0.client == login.client })
        guard own < Self.maximumOfAddress else { return login.finishes }
        guard waiting.count >= Self.maximum else {
            waiting.append(login)
            return []
        }
        let counts = waiting.reduce(into: [:]) { $0[$1.client, default: 0] += 1 }
        guard let most = counts.max(by: { $0.value < $1.value }), most.value > own,
            let index = waiting.lastIndex(where: { $0.client == most.key })
        else { return login.finishes }
        let displaced = waiting.remove(at: index)
        waiting.append(login)
        return displaced.finishes
    }

    /// Whom to tell that nobody will be verified.
    mutating func removeAll() -> [@Sendable (LoginOutcome) -> Void] {
        defer { waiting = [] }
        return waiting.flatMap(\.finishes)
    }

    mutating func next() -> Login? {
        guard !waiting.isEmpty else { return nil }
        // Only its hash has changed.
        if let index = waiting.firstIndex(where: { known[$0.user]?.credentials == $0.credentials }) {
            return waiting.remove(at: index)
        }
        isOldestNext.toggle()
        return waiting.remove(at: isOldestNext ? 0 : leastSuspect)
    }

    /// The oldest login of the address that comes first.
    private var leastSuspect: Int {
        func rank(_ login: Login) -> (Int, Int) {
            let standing = standings[login.client] ?? Standing()
            return (standing.hasBeenRight ? -1 : standing.wrongPasswords, -login.arrival)
        }
        guard let first = waiting.min(by: { rank($0) < rank($1) }) else { return 0 }
        return waiting.firstIndex { $0.client == first.client } ?? 0
    }

    /// Notes what became of a login.
    /// - Returns: whom to tell of it too: the same login may wait for other addresses.
    mutating func note(_ login: Login, isRight: Bool) -> [@Sendable (LoginOutcome) -> Void] {
        if isRight {
            noteRight(from: login.client)
            if known.count >= KnownLogin.maximum, known[login.user] == nil { _ = known.popFirst() }
            known[login.user] = KnownLogin(digest: login.digest, credentials: login.credentials)
        } else {
            if known[login.user]?.credentials == login.credentials { known[login.user] = nil }
            if standings.count >= Self.maximumAddresses { forgetAddresses() }
            standings[login.client, default: Standing()].wrongPasswords += 1
        }
        let finishes = login.finishes + waiting.filter { $0.digest == login.digest }.flatMap(\.finishes)
        waiting.removeAll { $0.digest == login.digest }
        return finishes
    }

    /// Forgets all users but these.
    mutating func forget(allBut users: Set<[UInt8]>) {
        known = known.filter { users.contains($0.key) }
    }

    /// Notes that a password from an address is right, as was known.
    mutating func noteRight(from client: ClientAddress) {
        if standings.count >= Self.maximumAddresses { forgetAddresses() }
        standings[client, default: Standing()].hasBeenRight = true
    }

    private mutating func forgetAddresses() {
        standings = standings.filter(\.value.hasBeenRight)
        if standings.count >= Self.maximumAddresses { standings = [:] }
    }
}
