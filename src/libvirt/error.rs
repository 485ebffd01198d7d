//! libvirt's errors, sorted by what a caller can do about them, with hints where libvirt's own text is cryptic.

use virt::enumutil::Enum;
use virt::error::{Error, ErrorDomain, ErrorNumber as Code};

use crate::host::{ErrorClass, HostError, Operation};

/// Turns a libvirt error of a host call into ours. The text stays libvirt's.
pub(super) fn host_error(operation: Operation<'_>, error: &Error) -> HostError {
    let class = classify(error, operation.is_write());
    let mut message = error.message().trim_end().to_owned();
    if let Some(hint) = hint(error, class, operation) {
        message.push_str("; ");
        message.push_str(hint);
    }
    HostError { class, operation: operation.to_string(), message, code: Some(code_of(error)) }
}

/// libvirt's number of an error.
pub(super) fn code_of(error: &Error) -> i32 {
    // The numbers are small and positive (virErrorNumber).
    i32::try_from(error.code().to_raw()).unwrap_or(0)
}

/// Whether the error is that number.
pub(super) fn is(error: &Error, code: Code) -> bool {
    error.code().is(code)
}

/// Whether the client's own connection failed, rather than the driver behind it. A daemon's errors keep the domain of
/// the code that raised them, so this domain is the client's alone.
fn is_connection_trouble(error: &Error) -> bool {
    error.domain().is(ErrorDomain::Rpc)
        && matches!(
            error.code(),
            Enum::Known(Code::InternalError | Code::SystemError | Code::Rpc | Code::NoConnect | Code::InvalidConn)
        )
}

/// The numbers are those of `virErrorNumber`; what libvirt means by them is in its `virErrorMsg` table.
pub(super) fn classify(error: &Error, write: bool) -> ErrorClass {
    if is_connection_trouble(error) {
        // libvirtd goes on with a call whose client is gone. Where the socket was closed before, nothing was sent.
        let sent = !error.message().contains("client socket is closed");
        return if write && sent { ErrorClass::OutcomeUnknown } else { ErrorClass::Transient };
    }
    let Enum::Known(code) = error.code() else { return ErrorClass::Refused };
    match code {
        Code::NoDomain | Code::NoDomainSnapshot => ErrorClass::NotFound,
        Code::OperationDenied | Code::AccessDenied | Code::AuthFailed | Code::AuthCancelled | Code::AuthUnavailable => {
            ErrorClass::Denied
        }
        Code::OperationTimeout
        | Code::SystemError
        | Code::Rpc
        | Code::NoMemory
        | Code::ResourceBusy
        | Code::OperationAborted
        | Code::AgentUnresponsive
        | Code::AgentUnsynced => ErrorClass::Transient,
        Code::XmlDetail | Code::XmlInvalidSchema | Code::InvalidDomain | Code::InvalidDomainSnapshot => ErrorClass::Bug,
        // The command was sent to the guest's agent, which may yet carry it out.
        Code::AgentCommandTimeout if write => ErrorClass::OutcomeUnknown,
        // 27 XML error, which libvirt says of a request that does not fit the domain's state;
        // 55 operation invalid, 67 config unsupported, 84 operation unsupported, 9 operation failed, 8 invalid argument,
        // 1 internal, 3 no support, 77 revert risky, and what newer versions add.
        _ => ErrorClass::Refused,
    }
}

fn hint(error: &Error, class: ErrorClass, operation: Operation<'_>) -> Option<&'static str> {
    let known = error.code().known()?;
    match (class, known) {
        (ErrorClass::OutcomeUnknown, _) => Some(
            "the connection broke while the call ran, and libvirt may yet finish it: run again, what is there will be found",
        ),
        (_, Code::OperationTimeout) => Some(
            "another job (a capture, a migration, a backup, a block commit) holds the domain, see `virsh domjobinfo`; \
             nothing was changed, run again when it has ended",
        ),
        (_, Code::OperationDenied) => Some("the connection is read-only, or the user may not do this on it"),
        (_, Code::AccessDenied) => Some("libvirt's access control refuses it to this user"),
        (_, Code::XmlInvalidSchema) => Some("snapward built XML that libvirt does not know; please report this"),
        (_, Code::OperationFailed)
            if matches!(operation, Operation::Create(..)) && error.message().contains("already exists") =>
        {
            Some("somebody else made it since the domain was read")
        }
        // Of what stopped QEMU from writing the memory, libvirt tells an input/output error.
        (_, Code::OperationFailed)
            if matches!(operation, Operation::Create(..)) && error.message().contains("job failed") =>
        {
            Some("the filesystem of its images may be full, or its storage fails")
        }
        // Two words for it: that of the check before, and that of the merge.
        _ if matches!(operation, Operation::Delete(..))
            && ["active block job", "has a blockjob assigned"].iter().any(|words| error.message().contains(words)) =>
        {
            Some(
                "it may be left of a deletion that was interrupted: libvirt starts a stopped domain, paused, to merge its images, \
             and where libvirt ends meanwhile, the domain and the job stay. Where nobody uses the paused domain, virsh destroy \
             ends both and loses nothing; else virsh blockjob --abort ends the job",
            )
        }
        _ if matches!(operation, Operation::Delete(..))
            && error.message().contains("Cannot find device='' nor node-name=") =>
        {
            Some(
                "libvirt ended in the middle of an earlier merge, and knows no more how the images of the running domain lie: shut \
                 the guest down and start it again, then run again",
            )
        }
        _ if matches!(operation, Operation::Create(..))
            && error.message().contains("Duplicate nodes with node-name=") =>
        {
            Some(
                "QEMU has the name from a capture in whose middle libvirt ended: run again, libvirt takes another name each time",
            )
        }
        _ if matches!(operation, Operation::Create(..)) && error.message().contains("memory state") => {
            Some("where the domain was started or stopped since it was read, run again")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Provokes a real error: libvirt's constructor for them is private to the crate.
    fn nul_error() -> Error {
        std::ffi::CString::new("a\0b").expect_err("holds a NUL").into()
    }

    #[test]
    fn an_invalid_argument_is_refused_with_its_code() {
        let error = host_error(Operation::Domains, &nul_error());
        assert_eq!((error.class, error.code), (ErrorClass::Refused, Some(8)));
        assert!(error.to_string().starts_with("could not list the domains: "), "{error}");
    }
}
