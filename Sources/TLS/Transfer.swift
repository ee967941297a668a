/// What one try to move bytes came to, through TLS or, by Redis's sockets, without.
package enum Transfer {
    /// So many bytes were moved, at least one.
    case moved(Int)
    case mustWaitToRead
    case mustWaitToWrite
    /// The peer has ended the conversation.
    case ended
    case failed(StreamError)
}

/// Why bytes cannot be moved.
package enum StreamError: Error {
    case connect(String)
    case tls(String)
    case timeout
    case lost(String)
}
