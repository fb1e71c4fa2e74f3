//! The fast path: in HTTP/1.1, requests that can be answered at once are answered as they are read, before
//! hyper has seen them.
//!
//! It stands between a connection and hyper. Of each request it asks one thing: whether the service has the
//! whole answer at hand. If so the answer is written and hyper never knows of the request. If not, hyper gets the
//! bytes just as they came, and the service what it has found out about them, which is nothing that anybody
//! else can see. So all that HTTP asks of a server is hyper's business as before, and the fast path may be as
//! narrow as it likes: it lets go of a connection for good as soon as anything on it is unusual.
//!
//! Requests and answers keep their order because a request is looked at only while hyper has nothing:
//! neither a byte that belongs to a request, nor an answer that is not out.

mod message;
mod answer;
mod dates;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Activity, UnderWay};
use super::endpoint::Prepared;
use super::listener::Serve;
use message::{Extent, Room};

pub(crate) use dates::Dates;
pub use message::Message;

/// What is read at once, in bytes.
const ROOM: usize = 16 * 1024;
/// A head that is longer and has no end is hyper's to judge, in bytes.
const LONGEST_HEAD: usize = 96 * 1024;

thread_local! {
    /// Requests are read here and answers made here: what is idle holds no memory.
    static ROOMS: RefCell<Rooms> = RefCell::new(Rooms {
        request: vec![0; ROOM].into_boxed_slice(),
        answer: Vec::with_capacity(ROOM),
    });
}

struct Rooms {
    request: Box<[u8]>,
    answer: Vec<u8>,
}

/// A connection whose requests are answered at once where they can be, and read by hyper where not.
pub(super) struct FastPath<S, T> {
    stream: T,
    service: S,
    peer: SocketAddr,
    activity: Arc<Activity>,
    stage: Stage,
    /// What was read and has gone nowhere yet.
    held: Vec<u8>,
    /// Requests that have begun, on either path.
    begun: u64,
    /// An answer of which the client has not taken all.
    unsent: Option<Unsent>,
}

/// Whose the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Those of a request that is to be looked at.
    Open,
    /// The same, of which only a part of the head is held.
    Partial,
    /// hyper's: it has a request under way, of which so many bytes are still to come.
    Handed(usize),
    /// hyper's, all of them, for good.
    Closed,
}

/// What became of a request that was read before hyper has.
pub enum AtOnce {
    /// The response is written.
    Answered,
    /// It has to wait, and this is what is known of it.
    Prepared(Box<Prepared>),
    /// It is not for the fast path.
    Unread,
}

struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
    _under_way: UnderWay,
}

impl<S: Serve, T: AsyncRead + AsyncWrite + Unpin> FastPath<S, T> {
    pub(super) fn new(stream: T, service: S, peer: SocketAddr, activity: Arc<Activity>) -> Self {
        let stage = if S::HAS_FAST_PATH { Stage::Open } else { Stage::Closed };
        let (held, begun, unsent) = (Vec::new(), 0, None);
        Self { stream, service, peer, activity, stage, held, begun, unsent }
    }

    /// Reads and answers until there is something for hyper, some of which it may have got by then.
    fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while let Stage::Open | Stage::Partial = self.stage {
            ready!(self.poll_send(cx))?;
            // Nobody reads while reading, so the rooms are always free.
            let looked = ROOMS.with(|rooms| {
                rooms.try_borrow_mut().map(|mut rooms| self.poll_look(cx, &mut rooms, buffer))
            });
            match looked {
                Ok(looked) => ready!(looked)?,
                Err(_) => self.stage = Stage::Closed,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, unless something is held that was not looked at, and looks at it.
    fn poll_look(
        &mut self,
        cx: &mut Context<'_>,
        rooms: &mut Rooms,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Rooms { request, answer } = rooms;
        answer.clear();
        // A large answer takes its room for itself only.
        answer.shrink_to(ROOM);
        if self.stage == Stage::Open && !self.held.is_empty() {
            self.look_at_held(answer);
            return Poll::Ready(self.send(cx, answer));
        }
        let mut room = ReadBuf::new(request);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
        match room.filled() {
            // The client sends no more. hyper sees that for itself.
            [] => self.stage = Stage::Closed,
            read if self.held.is_empty() => {
                let taken = self.look(read, answer);
                let rest = read.get(taken..).unwrap_or_default();
                let given = self.give(rest, buffer);
                self.held.extend_from_slice(rest.get(given..).unwrap_or_default());
            }
            read => {
                // Looking at all of it again for each byte that comes would be a way to keep it busy.
                let searched = self.held.len().saturating_sub(2);
                self.held.extend_from_slice(read);
                let fresh = self.held.get(searched..).unwrap_or_default();
                if message::ends_head(fresh) || self.held.len() > LONGEST_HEAD {
                    self.look_at_held(answer);
                }
            }
        }
        Poll::Ready(self.send(cx, answer))
    }

    fn look_at_held(&mut self, answer: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let taken = self.look(&held, answer);
        self.held = held;
        self.let_go(taken);
    }

    /// Looks at a request and writes its answer, where there is one; the bytes that are spent by that.
    fn look(&mut self, bytes: &[u8], answer: &mut Vec<u8>) -> usize {
        let mut room = Room::new();
        let (message, all) = match Extent::of(bytes, &mut room) {
            Extent::Whole(message, all) => (message, all),
            Extent::Begun(all) => {
                self.hand(all, None);
                return 0;
            }
            Extent::Head if bytes.len() <= LONGEST_HEAD => {
                self.stage = Stage::Partial;
                return 0;
            }
            Extent::Head | Extent::Unclear => {
                self.stage = Stage::Closed;
                return 0;
            }
        };
        // Who panics here will there, too, and there it is known what to answer then.
        let answering = || self.service.answer_at_once(self.peer, &message, answer);
        let prepared = match catch_unwind(AssertUnwindSafe(answering)) {
            Ok(AtOnce::Answered) => {
                self.begun += 1;
                self.activity.note_answered();
                self.stage = Stage::Open;
                return all;
            }
            Ok(AtOnce::Prepared(prepared)) => Some(prepared),
            Ok(AtOnce::Unread) | Err(_) => None,
        };
        answer.clear();
        self.hand(all, prepared);
        0
    }

    /// Leaves a request of so many bytes to hyper.
    fn hand(&mut self, bytes: usize, prepared: Option<Box<Prepared>>) {
        self.activity.prepare(prepared);
        self.begun += 1;
        self.stage = Stage::Handed(bytes);
    }

    /// Sends as much of an answer as the client takes now.
    fn send(&mut self, cx: &mut Context<'_>, answer: &[u8]) -> io::Result<()> {
        if answer.is_empty() {
            return Ok(());
        }
        let mut sent = 0;
        match poll_out(&mut self.stream, cx, answer, &mut sent) {
            Poll::Ready(sent) => sent,
            Poll::Pending => {
                let (bytes, under_way) = (answer.to_vec(), self.activity.answering());
                self.unsent = Some(Unsent { bytes, sent, _under_way: under_way });
                Ok(())
            }
        }
    }

    /// Sends the rest of an answer.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(Unsent { bytes, sent, .. }) = &mut self.unsent {
            ready!(poll_out(&mut self.stream, cx, bytes, sent))?;
            self.unsent = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives hyper what of some bytes is its own and has room; how many these are.
    fn give(&mut self, bytes: &[u8], buffer: &mut ReadBuf<'_>) -> usize {
        let own = match self.stage {
            Stage::Open | Stage::Partial => 0,
            Stage::Handed(owed) => owed,
            Stage::Closed => usize::MAX,
        };
        let given = bytes.len().min(own).min(buffer.remaining());
        buffer.put_slice(bytes.get(..given).unwrap_or_default());
        self.gave(given);
        given
    }

    fn give_held(&mut self, buffer: &mut ReadBuf<'_>) {
        let held = std::mem::take(&mut self.held);
        let given = self.give(&held, buffer);
        self.held = held;
        self.let_go(given);
    }

    fn gave(&mut self, bytes: usize) {
        if let Stage::Handed(owed) = &mut self.stage {
            *owed -= bytes;
        }
    }

    fn let_go(&mut self, bytes: usize) {
        self.held.drain(..bytes);
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }
}

/// Writes all of some bytes from where the last attempt ended.
fn poll_out<T: AsyncWrite + Unpin>(
    stream: &mut T,
    cx: &mut Context<'_>,
    bytes: &[u8],
    sent: &mut usize,
) -> Poll<io::Result<()>> {
    loop {
        match bytes.get(*sent..) {
            None | Some([]) => return Pin::new(&mut *stream).poll_flush(cx),
            Some(rest) => match ready!(Pin::new(&mut *stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => *sent += written,
            },
        }
    }
}

impl<S: Serve, T: AsyncRead + AsyncWrite + Unpin> AsyncRead for FastPath<S, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(this.poll_open(cx, buffer))?;
        if buffer.filled().len() > before {
            return Poll::Ready(Ok(()));
        }
        // A request before the answer to the last: it is hyper that knows how to take turns.
        if this.stage == Stage::Handed(0) && !this.held.is_empty() {
            this.stage = Stage::Closed;
        }
        if !this.held.is_empty() {
            this.give_held(buffer);
            return Poll::Ready(Ok(()));
        }
        match this.stage {
            Stage::Handed(owed @ 1..) => {
                let most = owed.min(buffer.remaining());
                let mut room = ReadBuf::new(buffer.initialize_unfilled_to(most));
                ready!(Pin::new(&mut this.stream).poll_read(cx, &mut room))?;
                let read = room.filled().len();
                buffer.advance(read);
                this.gave(read);
            }
            Stage::Handed(0) | Stage::Open | Stage::Partial | Stage::Closed => {
                ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
                if buffer.filled().len() > before {
                    this.stage = Stage::Closed;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Serve, T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for FastPath<S, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has written all that it has.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        if this.stage == Stage::Handed(0) && this.activity.has_answered(this.begun) {
            this.stage = Stage::Open;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}
