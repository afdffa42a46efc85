//! A network camera in software: a drawn scene, encoded live, behind real ONVIF and RTSP.
